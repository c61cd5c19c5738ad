"""Hours under load: does memory grow, does anything get later?"""
