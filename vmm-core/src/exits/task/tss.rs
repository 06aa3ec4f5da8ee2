//! Task-state segments of 16 and 32 bits: where they hold what of a task (APM 12.2.4, 12.2.5).

use intercepts::vmcb::Segment;

use super::descriptor::CODE;
use crate::decode::Segment as Register;
use crate::vm::memory::GuestMemory;
use crate::vm::walk::PageFault;
use crate::vm::{Vcpu, linear};

/// GPRs in a segment, in the order of their numbers.
const GPRS: usize = 8;
/// Bytes of the larger format.
const LONGEST: usize = 104;

/// Which of the two formats a segment has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Bytes of EIP, EFLAGS and each GPR: 2 or 4.
    word: usize,
    /// Offset of CR3, if there is one.
    cr3: Option<usize>,
    /// Offset of EIP; EFLAGS, the GPRs and the selectors follow, a word each.
    ip: usize,
    /// The segment registers, in the order of their selectors.
    registers: &'static [Register],
    /// Offset of the selector of the LDT.
    ldt: usize,
    /// Offset of the word whose bit 0 asks for #DB on arrival, if there is one.
    trap: Option<usize>,
    /// Bytes of the whole.
    bytes: usize,
}

static BITS_16: Format = Format {
    word: 2,
    cr3: None,
    ip: 0x0e,
    registers: &[Register::Es, Register::Cs, Register::Ss, Register::Ds],
    ldt: 0x2a,
    trap: None,
    bytes: 0x2c,
};

static BITS_32: Format = Format {
    word: 4,
    cr3: Some(0x1c),
    ip: 0x20,
    registers: &[
        Register::Es,
        Register::Cs,
        Register::Ss,
        Register::Ds,
        Register::Fs,
        Register::Gs,
    ],
    ldt: 0x60,
    trap: Some(0x64),
    bytes: LONGEST,
};

/// What a new task begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// CR3; not in a segment of 16 bits.
    pub cr3: Option<u32>,
    /// EIP.
    pub eip: u32,
    /// EFLAGS.
    pub eflags: u32,
    /// The GPRs, by their numbers.
    pub gprs: [u32; GPRS],
    /// The selectors of the segment registers, by their numbers; FS and GS are null after a
    /// segment of 16 bits.
    pub selectors: [u16; 6],
    /// The selector of the LDT.
    pub ldt: u16,
    /// Whether #DB awaits.
    pub trap: bool,
}

impl Format {
    /// That of the task-state segment in a segment register.
    pub fn of(segment: &Segment) -> &'static Format {
        if segment.attributes & CODE != 0 {
            &BITS_32
        } else {
            &BITS_16
        }
    }

    /// Bytes of a word on the stack of such a task.
    pub fn word(&self) -> u8 {
        self.word as u8
    }

    /// The least limit of a task that is to be switched to.
    pub fn least_limit(&self) -> u32 {
        self.bytes as u32 - 1
    }

    /// The last byte that is written when a task is left.
    pub fn last_saved(&self) -> u32 {
        (self.selector(self.registers.len() - 1) + 1) as u32
    }

    fn selector(&self, index: usize) -> usize {
        self.ip + (2 + GPRS + index) * self.word
    }

    /// Reads the task at `base`.
    pub fn read(
        &self,
        vcpu: &Vcpu,
        memory: &mut GuestMemory,
        base: u64,
    ) -> Result<State, PageFault> {
        let mut all = [0; LONGEST];
        let bytes = all.get_mut(..self.bytes).unwrap_or_default();
        linear::read(vcpu, memory, base, bytes)?;
        let number = |offset: usize, size: usize| {
            let bytes = bytes.iter().skip(offset).take(size).rev();
            bytes.fold(0, |number: u32, byte| number << 8 | u32::from(*byte))
        };
        let half = |offset: usize| number(offset, 2) as u16;
        // A word of 16 bits leaves the upper half of a GPR undefined: ones, as Bochs and QEMU.
        let above = if self.word == 2 { 0xffff_0000 } else { 0 };
        let mut state = State {
            cr3: self.cr3.map(|offset| number(offset, 4)),
            eip: number(self.ip, self.word),
            eflags: number(self.ip + self.word, self.word),
            gprs: [0; GPRS],
            selectors: [0; 6],
            ldt: half(self.ldt),
            trap: self.trap.is_some_and(|offset| number(offset, 2) & 1 != 0),
        };
        for (index, gpr) in state.gprs.iter_mut().enumerate() {
            *gpr = above | number(self.ip + (2 + index) * self.word, self.word);
        }
        for (index, selector) in self.registers.iter().enumerate() {
            if let Some(place) = state.selectors.get_mut(*selector as usize) {
                *place = half(self.selector(index));
            }
        }
        Ok(state)
    }

    /// Whether [`Format::write`] would go through.
    pub fn probe(&self, vcpu: &Vcpu, memory: &GuestMemory, base: u64) -> Result<(), PageFault> {
        let len = self.last_saved() as usize + 1 - self.ip;
        linear::probe(vcpu, memory, base.wrapping_add(self.ip as u64), len)
    }

    /// Writes the vCPU's registers into the task at `base`, as far as a switch saves them.
    pub fn write(
        &self,
        vcpu: &Vcpu,
        memory: &mut GuestMemory,
        base: u64,
        eip: u64,
        eflags: u64,
    ) -> Result<(), PageFault> {
        let mut write = |offset: usize, size: usize, value: u64| {
            let bytes = value.to_le_bytes();
            let bytes = bytes.get(..size).unwrap_or_default();
            linear::write(vcpu, memory, base.wrapping_add(offset as u64), bytes)
        };
        write(self.ip, self.word, eip)?;
        write(self.ip + self.word, self.word, eflags)?;
        for gpr in 0..GPRS {
            let offset = self.ip + (2 + gpr) * self.word;
            write(offset, self.word, vcpu.gpr(gpr as u8))?;
        }
        let save = vcpu.save();
        for (index, register) in self.registers.iter().enumerate() {
            let segment = match register {
                Register::Es => save.es,
                Register::Cs => save.cs,
                Register::Ss => save.ss,
                Register::Ds => save.ds,
                Register::Fs => save.fs,
                Register::Gs => save.gs,
            };
            write(self.selector(index), 2, segment.selector.into())?;
        }
        Ok(())
    }
}
