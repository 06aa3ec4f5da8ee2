//! The instructions that reach a device's memory: MOV and its kin, and the arithmetic that compilers
//! do on a register of a device (APM volume 3, chapter 3).
//!
//! The CPU has found the address already, and that the guest may go there: what is left is how long
//! the instruction is, how wide its operand in memory, and what becomes of it. Each of these has
//! exactly one such operand.

#[cfg(test)]
mod tests;

use super::arithmetic::Combination;
use super::{Code, LONGEST, Place, Prefixes};
use crate::vm::vcpu::CodeSize;

/// An instruction with one operand in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Its length in bytes, prefixes included.
    pub length: u8,
    /// Bytes of the operand: 1, 2, 4 or 8.
    pub bytes: u8,
    /// What becomes of it.
    pub action: Action,
}

/// What an instruction does with its operand in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes into a register.
    Load {
        /// Which.
        to: Register,
        /// How many bytes of it.
        bytes: u8,
        /// Whether a narrower operand is extended by its sign.
        signed: bool,
    },
    /// It is replaced.
    Store(Source),
    /// It and a register change places.
    Exchange(Register),
    /// It is combined with another operand.
    Combine {
        /// How.
        by: Combination,
        /// With what.
        with: Source,
        /// Where the result goes.
        to: Destination,
    },
}

/// Where the result of a combination goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Into memory.
    Memory,
    /// Into the register that is the other operand, and then stands on the left.
    Register,
    /// Nowhere: only the flags tell, with the operand in memory on the left if so.
    Flags {
        /// Memory is the left operand.
        memory_first: bool,
    },
}

/// The operand that is not in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A register.
    Register(Register),
    /// A number, sign-extended.
    Immediate(u64),
}

/// A general-purpose register as an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// As in [`Vcpu::gpr`](crate::vm::Vcpu::gpr).
    pub number: u8,
    /// It is bits 15:8 of that: AH, CH, DH or BH.
    pub high: bool,
}

/// Decodes the instruction that `bytes` start with, as code of this size. `None`: it is none of
/// these, or `bytes` end within it.
pub fn access(bytes: &[u8], size: CodeSize) -> Option<Access> {
    let bytes = bytes.get(..LONGEST).unwrap_or(bytes);
    let prefixes = Prefixes::read(bytes, size);
    let mut code = Code {
        rest: bytes.get(prefixes.length.into()..)?,
        prefixes,
        size,
    };
    if prefixes.repeat.is_some() {
        return None;
    }
    let (width, action) = code.access()?;
    let writes_back = match action {
        Action::Exchange(_) => true,
        Action::Combine { to, .. } => to == Destination::Memory,
        Action::Load { .. } | Action::Store(_) => false,
    };
    if prefixes.lock && !writes_back {
        return None;
    }
    Some(Access {
        length: (bytes.len() - code.rest.len()) as u8,
        bytes: width,
        action,
    })
}

impl Code<'_> {
    fn access(&mut self) -> Option<(u8, Action)> {
        let opcode = self.byte()?;
        let bytes = self.width(opcode);
        let action = match opcode {
            0x00..=0x3f if opcode & 7 < 4 => {
                let register = self.register_with_memory(bytes)?;
                combine(
                    Combination::by_number(opcode >> 3),
                    Source::Register(register),
                    opcode & 2 == 0,
                )
            }
            0x0f => return self.extending_load(),
            0x80 | 0x81 | 0x83 => {
                let number = self.group_with_memory()?;
                let wide = if opcode == 0x81 { bytes } else { 1 };
                let with = Source::Immediate(self.immediate(wide)?);
                combine(Combination::by_number(number), with, true)
            }
            0x84 | 0x85 => {
                let register = self.register_with_memory(bytes)?;
                combine(Combination::Test, Source::Register(register), true)
            }
            0x86 | 0x87 => Action::Exchange(self.register_with_memory(bytes)?),
            0x88 | 0x89 => Action::Store(Source::Register(self.register_with_memory(bytes)?)),
            0x8a | 0x8b => load(self.register_with_memory(bytes)?, bytes),
            0xa0..=0xa3 => {
                for _ in 0..self.prefixes.address_bytes(self.size) {
                    self.byte()?;
                }
                let accumulator = Register {
                    number: 0,
                    high: false,
                };
                if opcode & 2 == 0 {
                    load(accumulator, bytes)
                } else {
                    Action::Store(Source::Register(accumulator))
                }
            }
            0xc6 | 0xc7 if self.group_with_memory()? == 0 => {
                Action::Store(Source::Immediate(self.immediate(bytes)?))
            }
            0xf6 | 0xf7 if self.group_with_memory()? == 0 => {
                let with = Source::Immediate(self.immediate(bytes)?);
                combine(Combination::Test, with, true)
            }
            _ => return None,
        };
        Some((bytes, action))
    }

    /// MOVZX and MOVSX.
    fn extending_load(&mut self) -> Option<(u8, Action)> {
        let opcode = self.byte()?;
        if !matches!(opcode, 0xb6 | 0xb7 | 0xbe | 0xbf) {
            return None;
        }
        let bytes = self.prefixes.operand_bytes(self.size);
        let action = Action::Load {
            to: self.register_with_memory(bytes)?,
            bytes,
            signed: opcode & 8 != 0,
        };
        Some((1 + (opcode & 1), action))
    }

    /// The operand's width by the lowest bit of the opcode.
    fn width(&self, opcode: u8) -> u8 {
        if opcode & 1 == 0 {
            1
        } else {
            self.prefixes.operand_bytes(self.size)
        }
    }

    /// ModRM with an operand in memory: the register, of so many bytes, that goes with it.
    fn register_with_memory(&mut self, bytes: u8) -> Option<Register> {
        let number = self.group_with_memory()?;
        let high = bytes == 1 && self.prefixes.rex == 0 && number >= 4;
        Some(Register {
            number: if high {
                number - 4
            } else {
                number | self.prefixes.rex_r()
            },
            high,
        })
    }

    /// ModRM with an operand in memory: its reg field.
    fn group_with_memory(&mut self) -> Option<u8> {
        match self.modrm()? {
            (reg, Place::Memory(_)) => Some(reg),
            (_, Place::Gpr(_)) => None,
        }
    }

    /// A number beside an operand of `bytes` bytes: at most four bytes are in the instruction.
    fn immediate(&mut self, bytes: u8) -> Option<u64> {
        self.signed(bytes.min(4).into())
    }
}

fn load(to: Register, bytes: u8) -> Action {
    Action::Load {
        to,
        bytes,
        signed: false,
    }
}

fn combine(by: Combination, with: Source, memory_first: bool) -> Action {
    let to = match by {
        Combination::Cmp | Combination::Test => Destination::Flags { memory_first },
        _ if memory_first => Destination::Memory,
        _ => Destination::Register,
    };
    Action::Combine { by, with, to }
}
