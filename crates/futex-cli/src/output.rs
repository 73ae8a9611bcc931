//! Text for people, and JSON.
