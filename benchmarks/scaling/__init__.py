"""How large an installation must be, from measured unit costs, and a simulation that says where the next limit lies."""
