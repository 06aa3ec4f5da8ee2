//! The formats of EXITINFO1 and EXITINFO2, for the exits that have one.

use bitflags::bitflags;

use crate::bits::bits;
use crate::{Bits, ExitCode};

const SEGMENTS: &[(u64, &str)] = &[
    (0, "ES"),
    (1, "CS"),
    (2, "SS"),
    (3, "DS"),
    (4, "FS"),
    (5, "GS"),
];
const DIRECTIONS: &[(u64, &str)] = &[(0, "OUT or OUTS"), (1, "IN or INS")];

bits! {
    /// EXITINFO1 of VMEXIT_IOIO (APM 15.10.2).
    pub mod ioio: u64;
    TYPE = 0, "Direction" of DIRECTIONS;
    STR = 2, "INS or OUTS";
    REP = 3, "A REP prefix";
    SZ8 = 4, "8-bit operand";
    SZ16 = 5, "16-bit operand";
    SZ32 = 6, "32-bit operand";
    A16 = 7, "16-bit address, of a string";
    A32 = 8, "32-bit address, of a string";
    A64 = 9, "64-bit address, of a string";
    SEG = 12:10 needs DECODE_ASSISTS, "Effective segment of a string" of SEGMENTS;
    PORT = 31:16, "Port";

    /// EXITINFO1 of VMEXIT_NPF: the page fault's error code, and where the walk stopped
    /// (APM 15.25.6).
    pub mod npf: u64;
    P = 0, "The nested page was present: the fault is one of rights";
    RW = 1, "The access was a write";
    US = 2, "The access was a user access; nested walks always are";
    RSV = 3, "A reserved bit was set in a nested table entry";
    ID = 4, "The access was an instruction fetch";
    SS = 6, "The access was to a shadow stack";
    RMP = 31 needs SEV_SNP, "The reverse map table refused the access";
    FINAL = 32, "While translating the final guest-physical address";
    TABLE_WALK = 33, "While walking the guest's own page tables";
    ENC = 34 needs SEV_SNP, "The guest's access was to encrypted memory";
    SIZEM = 35 needs SEV_SNP, "Page sizes of the nested and the reverse map table differ";
    VMPL = 36 needs SEV_SNP, "The guest's privilege level has no right to the page";
    SSS = 37 needs SSS_CHECK, "The page is no supervisor shadow stack";

    /// EXITINFO1 of VMEXIT_EXCP14: the page fault's error code (APM 8.4.2).
    pub mod pf: u64;
    P = 0, "The page was present: the fault is one of rights";
    RW = 1, "The access was a write";
    US = 2, "The access was made in user mode";
    RSV = 3, "A reserved bit was set in a table entry";
    ID = 4, "The access was an instruction fetch";
    PK = 5, "Protection keys refused the access";
    SS = 6, "The access was to a shadow stack";
    RMP = 31 needs SEV_SNP, "The reverse map table refused the access";

    /// EXITINFO1 of a MOV to or from a control register (APM 15.8.1).
    pub mod mov_cr: u64;
    GPR = 3:0 needs DECODE_ASSISTS, "Number of the general-purpose register";
    MOV = 63 needs DECODE_ASSISTS, "The instruction was MOV, not CLTS, LMSW or SMSW";

    /// EXITINFO1 of a MOV to or from a debug register (APM 15.8.1).
    pub mod mov_dr: u64;
    GPR = 3:0 needs DECODE_ASSISTS, "Number of the general-purpose register";

    /// EXITINFO1 of VMEXIT_SWINT (APM 15.8.2).
    pub mod swint: u64;
    VECTOR = 7:0 needs DECODE_ASSISTS, "The vector";

    /// EXITINFO1 of VMEXIT_SMI (APM 15.13.3).
    pub mod smi: u64;
    SMISRC = 0, "Source of the SMI" { 0 => "internal", 1 => "external" };
    MCREDIR = 1, "It stands for a machine check";
    SEG = 12:10, "Effective segment of a string" of SEGMENTS;
    TYPE = 32, "Direction" of DIRECTIONS;
    VAL = 33, "It came during an I/O instruction, which the other bits describe";
    STR = 34, "INS or OUTS";
    REP = 35, "A REP prefix";
    SZ8 = 36, "8-bit operand";
    SZ16 = 37, "16-bit operand";
    SZ32 = 38, "32-bit operand";
    A16 = 39, "16-bit address";
    A32 = 40, "32-bit address";
    A64 = 41, "64-bit address";
    TF = 43, "RFLAGS.TF";
    BRP = 47:44, "I/O breakpoints that it met";
    PORT = 63:48, "Port";

    /// EXITINFO1 of VMEXIT_MSR (APM 15.11).
    pub mod msr: u64;
    WRITE = 0, "Direction" { 0 => "RDMSR", 1 => "WRMSR" };

    /// EXITINFO1 of VMEXIT_TASK_SWITCH (APM 15.14.1).
    pub mod task_selector: u64;
    SELECTOR = 15:0, "Selector of the new TSS";

    /// EXITINFO2 of VMEXIT_TASK_SWITCH (APM 15.14.1).
    pub mod task_cause: u64;
    ERRORCODE = 31:0, "The error code to push in the new task, if HAS_ERROR is set";
    IRET = 36, "IRET caused it";
    JUMP = 38, "A far jump caused it";
    HAS_ERROR = 44, "There is an error code";
    RF = 48, "RFLAGS.RF as it would be saved in the old TSS";

    /// EXITINFO1 of VMEXIT_AVIC_INCOMPLETE_IPI (APM 15.29.9.1).
    pub mod avic_ipi: u64;
    ICRL = 31:0, "Low half of the interrupt command register";
    ICRH = 63:32, "High half of the interrupt command register";

    /// EXITINFO2 of VMEXIT_AVIC_INCOMPLETE_IPI (APM 15.29.9.1).
    pub mod avic_ipi_cause: u64;
    INDEX = 11:0, "Index of the target in the physical or the logical table, for causes 1 to 3";
    ID = 63:32, "Why it was not delivered" {
        0 => "level-triggered, or of a kind that is not delivered",
        1 => "target not running",
        2 => "target in no table",
        3 => "address of a backing page invalid",
        4 => "vector below 16",
        5 => "not to itself, under a secure AVIC",
    };

    /// EXITINFO1 of VMEXIT_AVIC_NOACCEL (APM 15.29.9.2).
    pub mod avic_access: u64;
    OFFSET = 11:4, "Offset of the APIC register, in 16 bytes";
    WRITE = 32, "Direction" { 0 => "read", 1 => "write" };

    /// EXITINFO2 of VMEXIT_AVIC_NOACCEL (APM 15.29.9.2).
    pub mod avic_vector: u64;
    VECTOR = 7:0, "Vector, if the register is EOI";
}

/// The formats of EXITINFO1 and EXITINFO2 of an exit; empty where a value is a plain number, an
/// address, or nothing.
pub fn info_bits(code: ExitCode) -> [&'static [Bits]; 2] {
    use ExitCode::*;
    match code {
        Ioio => [ioio::BITS, &[]],
        Npf => [npf::BITS, &[]],
        ExceptionPf => [pf::BITS, &[]],
        Smi => [smi::BITS, &[]],
        Swint => [swint::BITS, &[]],
        Msr => [msr::BITS, &[]],
        TaskSwitch => [task_selector::BITS, task_cause::BITS],
        AvicIncompleteIpi => [avic_ipi::BITS, avic_ipi_cause::BITS],
        AvicNoaccel => [avic_access::BITS, avic_vector::BITS],
        code => match code as u64 {
            0x00..=0x1f => [mov_cr::BITS, &[]],
            0x20..=0x3f => [mov_dr::BITS, &[]],
            _ => [&[], &[]],
        },
    }
}

/// EXITINFO1 of VMEXIT_IOIO: which port access the guest tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct IoioInfo(pub u64);

impl IoioInfo {
    /// IN or INS rather than OUT or OUTS: bit 0.
    pub const fn is_in(self) -> bool {
        self.0 & ioio::TYPE != 0
    }

    /// INS or OUTS: bit 2.
    pub const fn is_string(self) -> bool {
        self.0 & ioio::STR != 0
    }

    /// A REP prefix: bit 3.
    pub const fn is_rep(self) -> bool {
        self.0 & ioio::REP != 0
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
        const STRING_AND_SIZE: u64 = ioio::STR | ioio::SZ8 | ioio::SZ16 | ioio::SZ32;
        self.0 & STRING_AND_SIZE == ioio::SZ8
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
        const PRESENT = npf::P;
        /// The access was a write.
        const WRITE = npf::RW;
        /// The access was a user access; nested walks always are.
        const USER = npf::US;
        /// A reserved bit was set in a nested table entry.
        const RESERVED = npf::RSV;
        /// The access was an instruction fetch.
        const FETCH = npf::ID;
        /// The access was to a shadow stack.
        const SHADOW_STACK = npf::SS;
        /// The fault happened while translating the final guest-physical address.
        const FINAL = npf::FINAL;
        /// The fault happened while walking the guest's own page tables.
        const TABLE_WALK = npf::TABLE_WALK;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accessors_of_ioio_read_the_bits_of_its_format() {
        let all = IoioInfo(ioio::TYPE | ioio::STR | ioio::REP | ioio::SZ32 | ioio::A16 | ioio::SEG);
        assert!(all.is_in() && all.is_string() && all.is_rep() && !all.is_single_byte());
        assert_eq!(
            (all.bytes(), all.address_bytes(), all.segment()),
            (4, Some(2), 7)
        );
        for (bits, bytes) in [(ioio::SZ8, 1), (ioio::SZ16, 2), (ioio::SZ32, 4)] {
            assert_eq!(IoioInfo(bits).bytes(), bytes);
        }
        for (bits, bytes) in [(ioio::A16, 2), (ioio::A32, 4), (ioio::A64, 8)] {
            assert_eq!(IoioInfo(bits).address_bytes(), Some(bytes));
        }
        assert_eq!(IoioInfo(ioio::PORT).port(), 0xffff);
        assert_eq!(IoioInfo(!ioio::PORT).port(), 0);
        assert!(IoioInfo(ioio::SZ8).is_single_byte());
    }
}
