//! What a guest sees behind its I/O ports.
