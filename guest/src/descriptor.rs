//! Descriptors of segments, task-state segments and gates, as eight-byte values.
//!
//! Follows the APM, vol. 2, sections 4.7 (legacy descriptors) and 12.2 (tasks).
//! Where the tables stand and who loads them is the machine side's matter.

/// A segment of the whole address space: base 0, limit 4 GiB, 32-bit, ring 0.
const FLAT: u64 = 0x00CF_0000_0000_FFFF;
/// Access byte: present, code, readable, accessed.
const CODE_ACCESS: u64 = 0x9B << 40;
/// Access byte: present, data, writable, accessed.
const DATA_ACCESS: u64 = 0x93 << 40;
/// The present bit.
const PRESENT: u64 = 1 << 47;
/// In the type of a task-state segment: the task runs.
const BUSY: u64 = 1 << 41;

/// A code segment over all of memory.
pub const CODE: u64 = FLAT | CODE_ACCESS;
/// A data segment over all of memory.
pub const DATA: u64 = FLAT | DATA_ACCESS;
/// The privilege of ring 3, in a descriptor.
const RING_3: u64 = 3 << 45;
/// A code segment over all of memory, for ring 3.
pub const USER_CODE: u64 = CODE | RING_3;
/// A data segment over all of memory, for ring 3.
pub const USER_DATA: u64 = DATA | RING_3;
/// A data segment that is not in memory: loading it raises #NP, or #SS into SS.
pub const ABSENT_DATA: u64 = DATA & !PRESENT;

/// An available 32-bit task-state segment at `base`, of which byte `limit` is the last.
pub const fn task_state(base: u32, limit: u16) -> u64 {
    let base = base as u64;
    (base & 0xff00_0000) << 32 | 0x89 << 40 | (base & 0x00ff_ffff) << 16 | limit as u64
}

/// The descriptor of a task-state segment, marked available again.
pub const fn not_busy(task_state: u64) -> u64 {
    task_state & !BUSY
}

/// A 32-bit interrupt gate (IF is cleared on the way in) to `offset` in segment `selector`.
pub const fn interrupt_gate(selector: u16, offset: u32) -> u64 {
    let offset = offset as u64;
    (offset & 0xffff_0000) << 32 | 0x8E << 40 | (selector as u64) << 16 | offset & 0xffff
}

/// The gate, marked as not present: using it raises #NP.
pub const fn absent(gate: u64) -> u64 {
    gate & !PRESENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flat_segments_are_the_ones_of_the_manual() {
        assert_eq!(CODE, 0x00CF_9B00_0000_FFFF);
        assert_eq!(DATA, 0x00CF_9300_0000_FFFF);
        assert_eq!(ABSENT_DATA, 0x00CF_1300_0000_FFFF);
        assert_eq!(USER_CODE, 0x00CF_FB00_0000_FFFF);
        assert_eq!(USER_DATA, 0x00CF_F300_0000_FFFF);
    }

    #[test]
    fn a_task_state_segment_scatters_its_base_over_the_descriptor() {
        assert_eq!(task_state(0x1234_5678, 0x67), 0x1200_8934_5678_0067);
    }

    #[test]
    fn a_busy_task_becomes_available() {
        let available = task_state(0x1000, 0x67);
        assert_eq!(not_busy(available | BUSY), available);
    }

    #[test]
    fn a_gate_scatters_its_offset_over_the_descriptor() {
        assert_eq!(interrupt_gate(8, 0x1234_5678), 0x1234_8E00_0008_5678);
        assert_eq!(
            absent(interrupt_gate(8, 0x1234_5678)),
            0x1234_0E00_0008_5678
        );
    }
}
