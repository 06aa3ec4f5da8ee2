//! The real machine under the VMM.
