//! The two numbers that the firmware's byte code gives for "switched off": the object `\_S5`.
//!
//! It is a package of constants (ACPI 6.5, 7.4.2), and so found by its name, without an
//! interpreter of the byte code (20.2.5).

use super::{HEADER_BYTES, Table};

const NAME: u8 = 0x08;
const ROOT: u8 = b'\\';
const PACKAGE: u8 = 0x12;
const ZERO: u8 = 0x00;
const ONE: u8 = 0x01;
const BYTE: u8 = 0x0A;
const WORD: u8 = 0x0B;
const DOUBLE_WORD: u8 = 0x0C;
/// A sleep type has three bits.
const LARGEST_TYPE: u8 = 7;

/// The sleep types of the PM1a and PM1b control registers for S5.
pub fn soft_off_types(dsdt: &Table<'_, impl Fn(u64) -> Option<u8>>) -> Option<[u8; 2]> {
    (HEADER_BYTES + 1..dsdt.bytes).find_map(|at| types_at(dsdt, at))
}

/// The types, if the name of the object stands at `at`.
fn types_at(dsdt: &Table<'_, impl Fn(u64) -> Option<u8>>, at: u64) -> Option<[u8; 2]> {
    let byte = |offset: u64| {
        let inside = (HEADER_BYTES..dsdt.bytes).contains(&offset);
        inside.then(|| dsdt.u8(offset).ok()).flatten()
    };
    if byte(at)? != b'_' || dsdt.field(at).ok()? != *b"_S5_" {
        return None;
    }
    let named = match byte(at - 1)? {
        ROOT => byte(at - 2)? == NAME,
        before => before == NAME,
    };
    if !named || byte(at + 4)? != PACKAGE {
        return None;
    }
    // The package's length: the first byte's upper bits say how many follow it.
    let mut next = at + 6 + u64::from(byte(at + 5)? >> 6);
    let elements = byte(next)?;
    next += 1;
    let mut types = [0; 2];
    for slot in types.iter_mut().take(usize::from(elements)) {
        let (value, bytes) = match byte(next)? {
            ZERO => (0, 1),
            ONE => (1, 1),
            BYTE => (byte(next + 1)?, 2),
            WORD => (byte(next + 1)?, 3),
            DOUBLE_WORD => (byte(next + 1)?, 5),
            _ => return None,
        };
        *slot = value;
        next += bytes;
    }
    (elements > 0 && types.iter().all(|value| *value <= LARGEST_TYPE)).then_some(types)
}
