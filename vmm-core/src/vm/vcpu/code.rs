//! The code at a vCPU's RIP: where it is, what it is, and how to get past it.

use super::{ATTRIBUTE_L, CodeSize, Vcpu};
use crate::addr::PAGE;
use crate::decode::glance::{self, Glance};
use crate::decode::{self, Instruction, Prefixes};
use crate::vm::assists;
use crate::vm::memory::{GuestMemory, GuestPage};
use crate::vm::walk;

/// A one-entry instruction TLB: where a page of code was last found. Like the CPU's own, it
/// may be stale until the guest has run on; unlike it, what it leads to is compared.
#[derive(Clone, Copy)]
pub(super) struct CodePage {
    /// The RIP of the page's first byte, and its linear address.
    rip: u64,
    linear: u64,
    cr3: u64,
    bytes: GuestPage,
}

impl CodePage {
    /// At a RIP that no code can have, since it is not canonical.
    pub(super) const NONE: CodePage = CodePage {
        rip: 1 << 63,
        linear: 1 << 63,
        cr3: 0,
        bytes: GuestPage::EMPTY,
    };
}

impl Vcpu {
    /// The linear address of the current instruction.
    #[inline]
    pub(crate) fn linear_rip(&self) -> u64 {
        let save = self.save();
        if save.efer & walk::EFER_LMA != 0 && save.cs.attributes & ATTRIBUTE_L != 0 {
            save.rip
        } else {
            save.cs.base.wrapping_add(save.rip) & 0xffff_ffff
        }
    }

    /// Moves RIP past the intercepted instruction, whose bytes after any prefixes are
    /// `opcode`. Ends an interrupt shadow, as completing an instruction does.
    #[inline(always)]
    pub fn advance<const N: usize>(&mut self, memory: &GuestMemory, opcode: [u8; N]) {
        if self.is_at(opcode) {
            self.complete_at(self.save().rip.wrapping_add(N as u64));
        } else {
            self.advance_slowly(memory, N as u64);
        }
    }

    /// As [`Vcpu::advance`], when the last code page does not show the bare opcode at RIP:
    /// nRIP tells where the next instruction is, or counting the prefixes does.
    #[cold]
    #[inline(never)]
    fn advance_slowly(&mut self, memory: &GuestMemory, opcode: u64) {
        self.remember_code_page(memory);
        let next = if self.has_nrip {
            self.control().next_rip
        } else {
            let prefixes = self.prefixes(memory).length;
            self.save().rip.wrapping_add(u64::from(prefixes) + opcode)
        };
        self.complete_at(next);
    }

    /// Whether the bytes at RIP are `opcode`, without prefixes, as far as the page that code
    /// was last found on can tell.
    #[inline(always)]
    pub(crate) fn is_at<const N: usize>(&self, opcode: [u8; N]) -> bool {
        let offset = self.save().rip.wrapping_sub(self.code_page.rip);
        self.code_page.cr3 == self.save().cr3 && self.code_page.bytes.starts_with(offset, opcode)
    }

    /// The prefixes of the instruction at RIP.
    pub fn prefixes(&self, memory: &GuestMemory) -> Prefixes {
        let mut bytes = [0; decode::LONGEST];
        let fetched = self.fetch(memory, &mut bytes);
        Prefixes::read(&bytes[..fetched], self.code_size())
    }

    /// The instruction at RIP, if it is one that the VMM knows: as the CPU tells it, or else by
    /// its bytes.
    pub fn instruction(&self, memory: &GuestMemory) -> Option<Instruction> {
        if self.has_decode_assists
            && let Some(told) = assists::instruction(self.control(), self.save().rip)
        {
            return Some(told);
        }
        let mut bytes = [0; decode::LONGEST];
        let fetched = self.fetch(memory, &mut bytes);
        decode::decode(&bytes[..fetched], self.code_size())
    }

    /// The instruction at RIP if it is known at a glance, by the page that code was last found
    /// on: for a VM under shadow paging, where that is forgotten when the guest flushes it.
    pub fn glance(&mut self, memory: &GuestMemory) -> Option<Glance> {
        let linear = self.linear_rip();
        if !self.is_on_code_page(linear) {
            self.remember_code_page(memory);
            if !self.is_on_code_page(linear) {
                return None;
            }
        }
        let bytes = self.code_page.bytes.read(linear & 0xfff)?;
        glance::glance(bytes, self.code_size())
    }

    /// Whether `linear` is on the page that code was last found on.
    #[inline]
    fn is_on_code_page(&self, linear: u64) -> bool {
        self.code_page.linear == linear & !0xfff && self.code_page.cr3 == self.save().cr3
    }

    /// The RIP behind `instruction`, which is at RIP.
    pub fn behind(&self, instruction: &Instruction) -> u64 {
        self.behind_by(instruction.length)
    }

    /// The RIP behind an instruction of `length` bytes, which is at RIP.
    pub fn behind_by(&self, length: u8) -> u64 {
        let next = self.save().rip.wrapping_add(length.into());
        match self.code_size() {
            CodeSize::Bits64 => next,
            CodeSize::Bits16 | CodeSize::Bits32 => next & 0xffff_ffff,
        }
    }

    /// Remembers where the page of code at RIP is.
    fn remember_code_page(&mut self, memory: &GuestMemory) {
        let linear = self.linear_rip();
        let page = walk::translate(self.save(), memory, linear)
            .ok()
            .and_then(|gpa| memory.page(gpa));
        // Segments that shift pages against each other are not worth remembering.
        if let Some(bytes) = page.filter(|_| (linear ^ self.save().rip) & 0xfff == 0) {
            self.code_page = CodePage {
                rip: self.save().rip & !0xfff,
                linear: linear & !0xfff,
                cr3: self.save().cr3,
                bytes,
            };
        }
    }

    /// Forgets where code was found: the guest has run for long enough to have remapped it.
    pub fn forget_code_page(&mut self) {
        self.code_page = CodePage::NONE;
    }

    /// Forgets where code was found if that is the page of `linear`: the guest may have
    /// remapped it.
    pub fn forget_code_page_at(&mut self, linear: u64) {
        if self.code_page.linear == linear & !0xfff {
            self.forget_code_page();
        }
    }

    /// Reads the instruction at RIP; how many of its bytes could be read.
    pub fn fetch(&self, memory: &GuestMemory, bytes: &mut [u8; decode::LONGEST]) -> usize {
        let start = self.linear_rip();
        let on_first_page = ((PAGE - start % PAGE) as usize).min(bytes.len());
        let (first, second) = bytes.split_at_mut(on_first_page);
        let read = |linear: u64, part: &mut [u8]| {
            walk::translate(self.save(), memory, linear)
                .ok()
                .and_then(|gpa| memory.read(gpa, part))
                .is_some()
        };
        if !read(start, first) {
            return 0;
        }
        let next_page = start.wrapping_add(on_first_page as u64);
        if !second.is_empty() && !read(next_page, second) {
            return on_first_page;
        }
        bytes.len()
    }
}
