"""The six objects of the example pictures, built and lit for the Mitsuba 3 renderer."""
