//! Where the high precision event timer is (IA-PC HPET 1.0a, 3.2.4).

use super::Table;
use crate::host::bytes::Unreadable;

const SPACE: u64 = 40;
const ADDRESS: u64 = 44;
const MEMORY: u8 = 0;

/// The physical address of its registers, if they are in memory.
pub(super) fn address<F: Fn(u64) -> Option<u8>>(
    table: &Table<'_, F>,
) -> Result<Option<u64>, Unreadable> {
    let address = table.u64(ADDRESS)?;
    Ok((table.u8(SPACE)? == MEMORY && address != 0).then_some(address))
}
