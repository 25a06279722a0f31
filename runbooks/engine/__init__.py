"""The engine core: plan and apply. Pure: no Django, no I/O, no clock."""
