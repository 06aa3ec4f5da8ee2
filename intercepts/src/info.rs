//! The formats of EXITINFO1 for IOIO (APM 15.10.2) and for nested page faults (APM 15.25.6).

use bitflags::bitflags;

/// EXITINFO1 of VMEXIT_IOIO: which port access the guest tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct IoioInfo(pub u64);

impl IoioInfo {
    /// IN or INS rather than OUT or OUTS: bit 0.
    pub const fn is_in(self) -> bool {
        self.0 & 1 != 0
    }

    /// INS or OUTS: bit 2.
    pub const fn is_string(self) -> bool {
        self.0 & (1 << 2) != 0
    }

    /// A REP prefix: bit 3.
    pub const fn is_rep(self) -> bool {
        self.0 & (1 << 3) != 0
    }

    /// Operand size in bytes (1, 2 or 4) from bits 6:4; anything else is read as 1.
    pub const fn bytes(self) -> u8 {
        match (self.0 >> 4) & 7 {
            2 => 2,
            4 => 4,
            _ => 1,
        }
    }

    /// Neither a string instruction nor wider than a byte.
    pub const fn is_single_byte(self) -> bool {
        const STRING_AND_SIZE: u64 = 1 << 2 | 0b111 << 4;
        const BYTE: u64 = 1 << 4;
        self.0 & STRING_AND_SIZE == BYTE
    }

    /// Address size in bytes (2, 4 or 8) from bits 9:7; `None` if the CPU left them clear.
    pub const fn address_bytes(self) -> Option<u8> {
        match (self.0 >> 7) & 7 {
            1 => Some(2),
            2 => Some(4),
            4 => Some(8),
            _ => None,
        }
    }

    /// The effective segment of a string access, bits 12:10, in the CPU's order ES CS SS DS FS GS.
    pub const fn segment(self) -> u8 {
        ((self.0 >> 10) & 7) as u8
    }

    /// The port: bits 31:16.
    pub const fn port(self) -> u16 {
        (self.0 >> 16) as u16
    }
}

bitflags! {
    /// EXITINFO1 of VMEXIT_NPF: the page fault's error code and where the walk stopped.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct NptFault: u64 {
        /// The nested page was present: the fault is one of rights.
        const PRESENT = 1 << 0;
        /// The access was a write.
        const WRITE = 1 << 1;
        /// The access was a user access; nested walks always are.
        const USER = 1 << 2;
        /// A reserved bit was set in a nested table entry.
        const RESERVED = 1 << 3;
        /// The access was an instruction fetch.
        const FETCH = 1 << 4;
        /// The access was to a shadow stack.
        const SHADOW_STACK = 1 << 6;
        /// The fault happened while translating the final guest-physical address.
        const FINAL = 1 << 32;
        /// The fault happened while walking the guest's own page tables.
        const TABLE_WALK = 1 << 33;
    }
}
