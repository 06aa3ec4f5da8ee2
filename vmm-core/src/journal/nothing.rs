//! No journal: what is asked is done, and nobody writes it down.

use crate::addr::Gpa;
use crate::exits::Outcome;
use crate::policy::VmPolicy;
use crate::vm::Instance;

use super::{Birth, Happening};

/// What a VM's state was when it was last written down.
#[derive(Debug, Default)]
pub struct Seen(());

/// Has the journal written from now on; there is none.
pub fn begin() {}

/// Whether what is written is to be sent.
pub fn is_full() -> bool {
    false
}

/// Sends what is written.
pub fn send() {}

/// Whether this is no run but its replay.
#[inline(always)]
pub fn is_replay() -> bool {
    false
}

#[inline(always)]
pub fn exit(instance: &mut Instance, body: impl FnOnce(&mut Instance) -> Outcome) -> Outcome {
    body(instance)
}

#[inline(always)]
pub fn call(
    _: Happening,
    instance: &mut Instance,
    body: impl FnOnce(&mut Instance) -> bool,
) -> bool {
    body(instance)
}

#[inline(always)]
pub fn birth_begins(_: &Birth, _: &VmPolicy) {}

#[inline(always)]
pub fn birth_ends() {}

#[inline(always)]
pub fn tsc(take: impl FnOnce() -> u64) -> u64 {
    take()
}

pub fn cpuid(_: u32, _: u32, take: impl FnOnce() -> [u32; 4]) -> [u32; 4] {
    take()
}

#[inline(always)]
pub fn msr(_: u32, take: impl FnOnce() -> u64) -> u64 {
    take()
}

#[inline(always)]
pub fn port(_: u16, _: u8, take: impl FnOnce() -> u32) -> u32 {
    take()
}

pub fn breakpoint(_: u8, take: impl FnOnce() -> u64) -> u64 {
    take()
}

#[inline(always)]
pub fn memory<const N: usize>(_: Gpa, take: impl FnOnce() -> [u8; N]) -> [u8; N] {
    take()
}

#[inline(always)]
pub fn much_memory(_: Gpa, bytes: &mut [u8], take: impl FnOnce(&mut [u8])) {
    take(bytes);
}

#[inline(always)]
pub fn code<const N: usize>(_: u64, take: impl FnOnce() -> [u8; N]) -> [u8; N] {
    take()
}

#[inline(always)]
pub fn wrote_memory(_: Gpa, _: &[u8]) {}

#[inline(always)]
pub fn zeroed(_: Gpa, _: u64) {}

#[inline(always)]
pub fn wrote_msr(_: u32, _: u64, act: impl FnOnce()) {
    act();
}

#[inline(always)]
pub fn wrote_port(_: u16, _: u8, _: u32, act: impl FnOnce()) {
    act();
}

#[inline(always)]
pub fn wrote_back(act: impl FnOnce()) {
    act();
}

#[inline(always)]
pub fn said(_: &[u8]) -> bool {
    false
}
