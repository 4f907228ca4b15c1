"""The one screen of `explore`: what it is sent, and what it asks for."""
