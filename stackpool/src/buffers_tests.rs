//! Tests of the buffers.
