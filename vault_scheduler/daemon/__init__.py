"""The running daemon: survey, roster, claims, dispatcher, scribe, and the loop that owns them."""
