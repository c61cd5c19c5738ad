"""What a client asks for, bounded, checked, and refused in its protocol's words."""
