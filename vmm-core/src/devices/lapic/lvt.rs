//! The local vector table: what becomes of interrupts that arise in the CPU itself (APM 16.4).

/// Bit 16: the interrupt is masked.
pub(super) const MASKED: u32 = 1 << 16;

/// An entry of the table, in the order of the registers from 320h on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    Timer = 0,
    Thermal = 1,
    Counters = 2,
    Lint0 = 3,
    Lint1 = 4,
    Error = 5,
}

/// How many entries there are.
pub(super) const ENTRIES: usize = 6;

impl Entry {
    /// The entry at a register's offset.
    pub const fn at(offset: u32) -> Option<Entry> {
        Some(match offset {
            0x320 => Entry::Timer,
            0x330 => Entry::Thermal,
            0x340 => Entry::Counters,
            0x350 => Entry::Lint0,
            0x360 => Entry::Lint1,
            0x370 => Entry::Error,
            _ => return None,
        })
    }

    /// The bits that a write reaches.
    pub const fn writable(self) -> u32 {
        const VECTOR: u32 = 0xff;
        const MESSAGE: u32 = 7 << 8;
        const PIN: u32 = 1 << 13 | 1 << 15;
        const TIMER_MODE: u32 = 3 << 17;
        MASKED
            | VECTOR
            | match self {
                Entry::Timer => TIMER_MODE,
                Entry::Thermal | Entry::Counters => MESSAGE,
                Entry::Lint0 | Entry::Lint1 => MESSAGE | PIN,
                Entry::Error => 0,
            }
    }
}

/// What a message is, from its bits 10:8, in the table, in commands and from an I/O APIC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// The vector, to all that are meant.
    Fixed,
    /// The vector, to one of them.
    LowestPriority,
    /// The vector comes from the 8259A.
    External,
    /// SMI, NMI, INIT, a start, or nothing that is defined: none of them reaches a guest.
    Other,
}

impl Delivery {
    /// From the bits of a register.
    pub const fn of(register: u32) -> Delivery {
        match register >> 8 & 7 {
            0 => Delivery::Fixed,
            1 => Delivery::LowestPriority,
            7 => Delivery::External,
            _ => Delivery::Other,
        }
    }
}
