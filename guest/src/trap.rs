//! Exceptions in words: mnemonics, names, and what an error code means.
//!
//! Follows the APM, vol. 2, sections 8.2 (vectors) and 8.4 (error codes).

use core::fmt;

/// Vector of the debug exception.
pub const DEBUG: u8 = 1;
/// The vector of #UD.
pub const INVALID_OPCODE: u8 = 6;
/// Vector of the page fault.
pub const PAGE_FAULT: u8 = 14;
/// The first vector that is not an exception.
pub const FIRST_INTERRUPT: u8 = 32;

/// Mnemonic and name of each exception, by vector; reserved ones have a number for a mnemonic.
const EXCEPTIONS: [(&str, &str); FIRST_INTERRUPT as usize] = [
    ("#DE", "divide error"),
    ("#DB", "debug"),
    ("NMI", "non-maskable interrupt"),
    ("#BP", "breakpoint"),
    ("#OF", "overflow"),
    ("#BR", "bound range"),
    ("#UD", "invalid opcode"),
    ("#NM", "device not available"),
    ("#DF", "double fault"),
    ("#9", "coprocessor segment overrun"),
    ("#TS", "invalid TSS"),
    ("#NP", "segment not present"),
    ("#SS", "stack"),
    ("#GP", "general protection"),
    ("#PF", "page fault"),
    ("#15", "reserved"),
    ("#MF", "x87 floating point"),
    ("#AC", "alignment check"),
    ("#MC", "machine check"),
    ("#XF", "SIMD floating point"),
    ("#20", "reserved"),
    ("#CP", "control protection"),
    ("#22", "reserved"),
    ("#23", "reserved"),
    ("#24", "reserved"),
    ("#25", "reserved"),
    ("#26", "reserved"),
    ("#27", "reserved"),
    ("#HV", "injection"),
    ("#VC", "communication"),
    ("#SX", "security"),
    ("#31", "reserved"),
];

/// The exceptions that push an error code, one bit a vector.
const WITH_ERROR_CODE: u32 = 1 << 8
    | 1 << 10
    | 1 << 11
    | 1 << 12
    | 1 << 13
    | 1 << 14
    | 1 << 17
    | 1 << 21
    | 1 << 29
    | 1 << 30;

/// Whether the processor pushes an error code for this vector.
pub const fn has_error_code(vector: u8) -> bool {
    vector < FIRST_INTERRUPT && WITH_ERROR_CODE & 1 << vector != 0
}

/// What an exception is called, in words. Empty for vectors that are no exception.
pub fn name(vector: u8) -> &'static str {
    EXCEPTIONS
        .get(usize::from(vector))
        .map_or("", |(_, name)| name)
}

/// An exception or a software interrupt that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trap {
    /// Its vector.
    pub vector: u8,
    /// Its error code; meaningless unless [`has_error_code`] says otherwise.
    pub error: u32,
    /// EIP as it was pushed.
    pub eip: u32,
    /// CR2 when it was taken; the address that faulted, for a page fault.
    pub address: u32,
}

impl fmt::Display for Trap {
    /// `#UD`, `#GP(0)`, `INT 80h`; error codes in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match EXCEPTIONS.get(usize::from(self.vector)) {
            None => write!(f, "INT {:X}h", self.vector),
            Some((mnemonic, _)) if has_error_code(self.vector) => {
                write!(f, "{mnemonic}({:x})", self.error)
            }
            Some((mnemonic, _)) => f.write_str(mnemonic),
        }
    }
}

/// The error code of a page fault, in words (APM vol. 2, section 8.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageFaultError(pub u32);

impl fmt::Display for PageFaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = |bit: u32| self.0 & 1 << bit != 0;
        let who = if has(2) { "user" } else { "kernel" };
        let access = match (has(4), has(1)) {
            (true, _) => "instruction fetch",
            (false, true) => "write",
            (false, false) => "read",
        };
        let why = match (has(3), has(0)) {
            (true, _) => "reserved bits set in a page table",
            (false, true) => "page protected",
            (false, false) => "page not present",
        };
        write!(f, "{who} {access}, {why}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn written(vector: u8, error: u32) -> std::string::String {
        Trap {
            vector,
            error,
            eip: 0,
            address: 0,
        }
        .to_string()
    }

    #[test]
    fn a_trap_is_written_as_the_manual_writes_it() {
        assert_eq!(written(6, 0), "#UD");
        assert_eq!(written(13, 0x28), "#GP(28)");
        assert_eq!(written(0x80, 0), "INT 80h");
    }

    #[test]
    fn exactly_the_ten_exceptions_of_the_manual_have_an_error_code() {
        let with: std::vec::Vec<u8> = (0..=255).filter(|v| has_error_code(*v)).collect();
        assert_eq!(with, [8, 10, 11, 12, 13, 14, 17, 21, 29, 30]);
    }

    #[test]
    fn a_page_fault_tells_who_did_what_and_why_it_failed() {
        let told = |error| PageFaultError(error).to_string();
        assert_eq!(told(0), "kernel read, page not present");
        assert_eq!(told(3), "kernel write, page protected");
        assert_eq!(told(6), "user write, page not present");
        assert_eq!(told(0x11), "kernel instruction fetch, page protected");
        assert_eq!(told(9), "kernel read, reserved bits set in a page table");
    }

    #[test]
    fn every_exception_has_a_name_and_no_other_vector_has() {
        assert!((0..32).all(|vector| !name(vector).is_empty()));
        assert!((32..=255).all(|vector| name(vector).is_empty()));
    }
}
