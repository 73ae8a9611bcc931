//! The models, and the properties.
