//! The instructions whose length or operands SVM does not tell (APM volume 3, chapters 1 and 4).
//!
//! Not a decoder of x86: it knows what the VMM emulates or must get past, in 16-, 32- and
//! 64-bit code, and refuses all else. It reads bytes and nothing more: registers and memory are
//! the caller's, and so are the checks that the CPU makes before it executes.

pub mod access;
mod address;
pub mod arithmetic;
pub mod glance;

#[cfg(test)]
mod tests;

pub use address::{Address, Place, Segment};

use crate::vm::vcpu::CodeSize;

/// The longest instruction that a CPU executes, in bytes.
pub const LONGEST: usize = 15;

/// An instruction that the VMM knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Its length in bytes, prefixes included.
    pub length: u8,
    /// What it starts with.
    pub prefixes: Prefixes,
    /// What it does.
    pub operation: Operation,
}

/// What an instruction does. GPRs are numbered as in [`Vcpu::gpr`](crate::vm::Vcpu::gpr).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is the manual's mnemonic")]
pub enum Operation {
    MovFromCr { cr: u8, gpr: u8 },
    MovToCr { cr: u8, gpr: u8 },
    MovFromDr { dr: u8, gpr: u8 },
    MovToDr { dr: u8, gpr: u8 },
    Clts,
    Lmsw(Place),
    Smsw(Place),
    Int(u8),
    Int3,
    Into,
    Icebp,
    CallFar,
    JmpFar,
    Pushf,
    Popf,
    Iret,
    Sgdt(Address),
    Sidt(Address),
    Lgdt(Address),
    Lidt(Address),
    Sldt(Place),
    Str(Place),
    Lldt(Place),
    Ltr(Place),
    Invlpg(Address),
    In(Port),
    Out(Port),
    Ins,
    Outs,
    Hlt,
    Pause,
    Cpuid,
    Rdtsc,
    Rdtscp,
    Rdpmc,
    Rdmsr,
    Wrmsr,
    Invd,
    Wbinvd,
    Monitor,
    Mwait,
    Vmmcall,
}

/// Where IN and OUT have their port from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// An immediate byte.
    Immediate(u8),
    /// DX.
    Dx,
}

/// What an instruction starts with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefixes {
    /// How many bytes they are.
    pub length: u8,
    /// The segment override, if it has an effect: in 64-bit code only FS and GS do.
    pub segment: Option<Segment>,
    /// 66h: the other operand size.
    pub operand_size: bool,
    /// 67h: the other address size.
    pub address_size: bool,
    /// F0h.
    pub lock: bool,
    /// F2h or F3h, whichever comes last.
    pub repeat: Option<u8>,
    /// The REX prefix, if it stands right before the opcode; else 0.
    rex: u8,
}

impl Prefixes {
    /// Reads the prefixes that `bytes`, code of this size, start with.
    pub fn read(bytes: &[u8], size: CodeSize) -> Prefixes {
        let mut prefixes = Prefixes::default();
        for byte in bytes.iter().take(LONGEST) {
            let mut rex = 0;
            match byte {
                0x26 => prefixes.override_segment(Segment::Es, size),
                0x2e => prefixes.override_segment(Segment::Cs, size),
                0x36 => prefixes.override_segment(Segment::Ss, size),
                0x3e => prefixes.override_segment(Segment::Ds, size),
                0x64 => prefixes.segment = Some(Segment::Fs),
                0x65 => prefixes.segment = Some(Segment::Gs),
                0x66 => prefixes.operand_size = true,
                0x67 => prefixes.address_size = true,
                0xf0 => prefixes.lock = true,
                0xf2 | 0xf3 => prefixes.repeat = Some(*byte),
                0x40..=0x4f if size == CodeSize::Bits64 => rex = *byte,
                _ => break,
            }
            prefixes.rex = rex;
            prefixes.length += 1;
        }
        prefixes
    }

    fn override_segment(&mut self, segment: Segment, size: CodeSize) {
        if size != CodeSize::Bits64 {
            self.segment = Some(segment);
        }
    }

    /// Bytes of a general operand.
    pub fn operand_bytes(&self, size: CodeSize) -> u8 {
        match (size, self.operand_size) {
            (CodeSize::Bits64, _) if self.rex & 8 != 0 => 8,
            (CodeSize::Bits16, false) | (CodeSize::Bits32 | CodeSize::Bits64, true) => 2,
            (CodeSize::Bits16, true) | (CodeSize::Bits32 | CodeSize::Bits64, false) => 4,
        }
    }

    /// Bytes of an address.
    pub fn address_bytes(&self, size: CodeSize) -> u8 {
        match (size, self.address_size) {
            (CodeSize::Bits16, false) | (CodeSize::Bits32, true) => 2,
            (CodeSize::Bits16 | CodeSize::Bits64, true) | (CodeSize::Bits32, false) => 4,
            (CodeSize::Bits64, false) => 8,
        }
    }

    /// Bit 3 of a ModRM.reg field (REX.R), an index (REX.X), or a base or ModRM.rm (REX.B).
    const fn rex_r(self) -> u8 {
        (self.rex & 4) << 1
    }

    const fn rex_x(self) -> u8 {
        (self.rex & 2) << 2
    }

    const fn rex_b(self) -> u8 {
        (self.rex & 1) << 3
    }
}

/// Decodes the instruction that `bytes` start with, as code of this size. `None`: it is none
/// that the VMM knows, it is one that the CPU answers with #UD, or `bytes` end within it.
pub fn decode(bytes: &[u8], size: CodeSize) -> Option<Instruction> {
    let bytes = bytes.get(..LONGEST).unwrap_or(bytes);
    let prefixes = Prefixes::read(bytes, size);
    let mut code = Code {
        rest: bytes.get(prefixes.length.into()..)?,
        prefixes,
        size,
    };
    let operation = code.operation()?;
    let locks = matches!(
        operation,
        Operation::MovFromCr { .. } | Operation::MovToCr { .. }
    );
    if prefixes.lock && !locks {
        return None;
    }
    Some(Instruction {
        length: (bytes.len() - code.rest.len()) as u8,
        prefixes,
        operation,
    })
}

/// What is left to read of an instruction.
struct Code<'a> {
    rest: &'a [u8],
    prefixes: Prefixes,
    size: CodeSize,
}

impl Code<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn operation(&mut self) -> Option<Operation> {
        Some(match self.byte()? {
            0x0f => return self.two_bytes(),
            0x6c | 0x6d => Operation::Ins,
            0x6e | 0x6f => Operation::Outs,
            // Without F3 it is NOP; with REX.B decoders differ over whether it is XCHG.
            0x90 if self.prefixes.repeat == Some(0xf3) && self.prefixes.rex_b() == 0 => {
                Operation::Pause
            }
            0x9a if self.size != CodeSize::Bits64 => self.far_pointer(Operation::CallFar)?,
            0x9c => Operation::Pushf,
            0x9d => Operation::Popf,
            0xcc => Operation::Int3,
            0xcd => Operation::Int(self.byte()?),
            0xce if self.size != CodeSize::Bits64 => Operation::Into,
            0xcf => Operation::Iret,
            0xe4 | 0xe5 => Operation::In(Port::Immediate(self.byte()?)),
            0xe6 | 0xe7 => Operation::Out(Port::Immediate(self.byte()?)),
            0xea if self.size != CodeSize::Bits64 => self.far_pointer(Operation::JmpFar)?,
            0xec | 0xed => Operation::In(Port::Dx),
            0xee | 0xef => Operation::Out(Port::Dx),
            0xf1 => Operation::Icebp,
            0xf4 => Operation::Hlt,
            0xff => match self.modrm()? {
                (3, Place::Memory(_)) => Operation::CallFar,
                (5, Place::Memory(_)) => Operation::JmpFar,
                _ => return None,
            },
            _ => return None,
        })
    }

    /// A selector and an offset of operand size follow, which the CPU has read already.
    fn far_pointer(&mut self, operation: Operation) -> Option<Operation> {
        for _ in 0..self.prefixes.operand_bytes(self.size) + 2 {
            self.byte()?;
        }
        Some(operation)
    }

    /// The opcodes that begin with 0Fh.
    fn two_bytes(&mut self) -> Option<Operation> {
        let opcode = self.byte()?;
        Some(match opcode {
            0x00 => {
                let (reg, place) = self.modrm()?;
                match reg {
                    0 => Operation::Sldt(place),
                    1 => Operation::Str(place),
                    2 => Operation::Lldt(place),
                    3 => Operation::Ltr(place),
                    _ => return None,
                }
            }
            0x01 => return self.group_7(),
            0x06 => Operation::Clts,
            0x08 => Operation::Invd,
            // With F3 it is WBNOINVD.
            0x09 if self.prefixes.repeat != Some(0xf3) => Operation::Wbinvd,
            0x20..=0x23 => return self.mov(opcode),
            0x30 => Operation::Wrmsr,
            0x31 => Operation::Rdtsc,
            0x32 => Operation::Rdmsr,
            0x33 => Operation::Rdpmc,
            0xa2 => Operation::Cpuid,
            _ => return None,
        })
    }

    /// 0F 01: by ModRM.reg where it names memory, else by the whole byte.
    fn group_7(&mut self) -> Option<Operation> {
        let whole = *self.rest.first()?;
        let (reg, place) = self.modrm()?;
        Some(match (place, reg) {
            (place, 4) => Operation::Smsw(place),
            (place, 6) => Operation::Lmsw(place),
            (Place::Memory(address), 0) => Operation::Sgdt(address),
            (Place::Memory(address), 1) => Operation::Sidt(address),
            (Place::Memory(address), 2) => Operation::Lgdt(address),
            (Place::Memory(address), 3) => Operation::Lidt(address),
            (Place::Memory(address), 7) => Operation::Invlpg(address),
            (Place::Memory(_), _) => return None,
            (Place::Gpr(_), _) => {
                // F2 and F3 give some of these another meaning, 66 takes it from some.
                let Prefixes {
                    operand_size,
                    repeat,
                    ..
                } = self.prefixes;
                match (whole, operand_size, repeat) {
                    (0xc8, false, None) => Operation::Monitor,
                    (0xc9, false, None) => Operation::Mwait,
                    (0xd9, _, None) => Operation::Vmmcall,
                    (0xf9, _, _) => Operation::Rdtscp,
                    _ => return None,
                }
            }
        })
    }

    /// MOV between a GPR and a control or debug register. ModRM.mod is taken as 3 whatever it
    /// is, and LOCK stands for bit 3 of a control register's number (AltMovCr8).
    fn mov(&mut self, opcode: u8) -> Option<Operation> {
        let modrm = self.byte()?;
        let gpr = modrm & 7 | self.prefixes.rex_b();
        let register = modrm >> 3 & 7 | self.prefixes.rex_r();
        let is_write = opcode & 2 != 0;
        if opcode & 1 != 0 {
            let dr = register;
            return match (dr, is_write) {
                (8.., _) => None,
                (_, false) => Some(Operation::MovFromDr { dr, gpr }),
                (_, true) => Some(Operation::MovToDr { dr, gpr }),
            };
        }
        let cr = match (register, self.prefixes.lock) {
            (0, true) => 8,
            (_, true) => return None,
            (cr, false) => cr,
        };
        match (cr, is_write) {
            (0 | 2 | 3 | 4 | 8, false) => Some(Operation::MovFromCr { cr, gpr }),
            (0 | 2 | 3 | 4 | 8, true) => Some(Operation::MovToCr { cr, gpr }),
            _ => None,
        }
    }
}
