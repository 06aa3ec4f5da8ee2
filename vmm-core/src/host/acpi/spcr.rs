//! The serial console that the firmware uses (Serial Port Console Redirection Table, revision 4).

use super::Table;
use crate::host::bytes::Unreadable;

const INTERFACE: u64 = 36;
const ADDRESS: u64 = 40;
/// A full 16550, its 16450 subset, and a 16550 that the address describes.
const KINDS_OF_16550: [u8; 3] = [0x00, 0x01, 0x12];

/// The port of the console, if it is a 16550 behind ports.
pub(super) fn port<F: Fn(u64) -> Option<u8>>(
    table: &Table<'_, F>,
) -> Result<Option<u16>, Unreadable> {
    if !KINDS_OF_16550.contains(&table.u8(INTERFACE)?) {
        return Ok(None);
    }
    table.port(ADDRESS)
}
