//! The tracker, by tables and against a model.
