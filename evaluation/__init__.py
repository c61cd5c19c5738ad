"""How good the engines are: recordings with references through the live stages, scored by the field's own measures."""

import services  # noqa: F401  # first of all: it keeps the numeric libraries to one thread, as in the services
