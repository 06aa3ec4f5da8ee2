//! E
pub fn run(_k: &mut super::Kernel) {}
