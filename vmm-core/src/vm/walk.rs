//! The walk of a guest's own page tables: linear to guest-physical (APM 5.2 to 5.4).
//!
//! The VMM walks to read an instruction, which the CPU has fetched before, and to the operand of
//! one that it performs: there it marks the entries as accessed and dirty (APM 5.4.2), as the CPU
//! has no more occasion to.

use heapless::Vec;
use intercepts::vmcb::Save;
use intercepts::vmcb::registers::{cr0, cr4, efer};

use crate::addr::Gpa;
use crate::vm::memory::GuestMemory;

/// EFER.LMA.
pub const EFER_LMA: u64 = efer::LMA;
const CR0_PG: u64 = cr0::PG;
const CR4_PSE: u64 = cr4::PSE;
const CR4_PAE: u64 = cr4::PAE;

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
const FRAME: u64 = 0x000f_ffff_ffff_f000;

/// A page fault that the walk met: what the guest is to find in CR2 and as error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFault {
    /// The linear address, for CR2.
    pub linear: u64,
    /// The error code (APM 8.4.2).
    pub error: u32,
}

/// What the access is, for the rights in the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// A write rather than a read.
    pub write: bool,
    /// By CPL 3.
    pub user: bool,
}

/// Where `linear` is, without regard to rights: for reading the instruction that the guest
/// has just been executing.
///
/// # Errors
/// The page is not mapped, or its tables lie outside guest memory.
pub fn translate(save: &Save, memory: &GuestMemory, linear: u64) -> Result<Gpa, PageFault> {
    find(save, memory, linear).map(|page| page.gpa)
}

/// Where an address is, and the entries on the way there.
#[derive(Clone, Debug)]
pub struct Translation {
    /// The address.
    pub gpa: Gpa,
    /// WRITABLE and USER, as far as all levels allow.
    rights: u64,
    path: Path,
}

/// Entries that are marked when they are used, each with its first byte; that of the page last.
type Path = Vec<(Gpa, u8), 4>;

impl Translation {
    /// Marks the entries as the CPU does for an access: all as accessed, and for a write the last
    /// as dirty.
    pub fn mark(&self, memory: &mut GuestMemory, write: bool) {
        let mut marks = ACCESSED | if write { DIRTY } else { 0 };
        for (place, before) in self.path.iter().rev() {
            let marked = before | marks as u8;
            if marked != *before {
                memory.mark(*place, marked);
            }
            marks = ACCESSED;
        }
    }
}

/// Where `linear` is, if `access` is allowed there.
///
/// # Errors
/// The page fault that the guest would have taken.
pub fn translate_for(
    save: &Save,
    memory: &GuestMemory,
    linear: u64,
    access: Access,
) -> Result<Translation, PageFault> {
    const CR0_WP: u64 = cr0::WP;
    let error = u32::from(access.write) << 1 | u32::from(access.user) << 2;
    let page = find(save, memory, linear).map_err(|fault| PageFault {
        error: fault.error | error,
        ..fault
    })?;
    let forbidden = access.user && page.rights & USER == 0
        || access.write && page.rights & WRITABLE == 0 && (access.user || save.cr0 & CR0_WP != 0);
    if forbidden {
        return Err(PageFault {
            linear,
            error: error | 1,
        });
    }
    Ok(page)
}

fn find(save: &Save, memory: &GuestMemory, linear: u64) -> Result<Translation, PageFault> {
    if save.cr0 & CR0_PG == 0 {
        return Ok(Translation {
            gpa: Gpa(linear & 0xffff_ffff),
            rights: WRITABLE | USER,
            path: Path::new(),
        });
    }
    let mut walk = Walk {
        memory,
        linear,
        path: Path::new(),
    };
    if save.cr4 & CR4_PAE == 0 {
        walk.two_level(save.cr3, save.cr4 & CR4_PSE != 0)
    } else if save.efer & EFER_LMA == 0 {
        walk.pae(save.cr3)
    } else {
        walk.long(save.cr3)
    }
}

struct Walk<'a> {
    memory: &'a GuestMemory,
    linear: u64,
    path: Path,
}

impl Walk<'_> {
    fn fault(&self) -> PageFault {
        PageFault {
            linear: self.linear,
            error: 0,
        }
    }

    fn two_level(&mut self, cr3: u64, pse: bool) -> Result<Translation, PageFault> {
        let linear = self.linear & 0xffff_ffff;
        let directory = self.short_entry(cr3 & 0xffff_f000, linear >> 22)?;
        if pse && directory & LARGE != 0 {
            // PSE-36: bits 20:13 are physical address bits 39:32.
            let base = directory & 0xffc0_0000 | (directory >> 13 & 0xff) << 32;
            return Ok(self.found(base | linear & 0x3f_ffff, directory));
        }
        let page = self.short_entry(directory & 0xffff_f000, linear >> 12 & 0x3ff)?;
        Ok(self.found(page & 0xffff_f000 | linear & 0xfff, directory & page))
    }

    fn pae(&mut self, cr3: u64) -> Result<Translation, PageFault> {
        let linear = self.linear & 0xffff_ffff;
        // The four pointers have no rights of their own, and are not marked.
        let pointer = self.entry(cr3 & 0xffff_ffe0, linear >> 30)?;
        self.path.clear();
        self.lower(linear, pointer, 2)
    }

    fn long(&mut self, cr3: u64) -> Result<Translation, PageFault> {
        self.lower(self.linear, cr3 | PRESENT, 4)
    }

    /// Walks `levels` levels of 512 entries, starting with the table that `upper` names.
    fn lower(&mut self, linear: u64, upper: u64, levels: u32) -> Result<Translation, PageFault> {
        let mut table = upper & FRAME;
        let mut rights = WRITABLE | USER;
        for level in (1..=levels).rev() {
            let shift = 12 + 9 * (level - 1);
            let entry = self.entry(table, linear >> shift & 0x1ff)?;
            rights &= entry;
            if level == 1 || level < 4 && entry & LARGE != 0 {
                let within = (1u64 << shift) - 1;
                return Ok(self.found(entry & FRAME & !within | linear & within, rights));
            }
            table = entry & FRAME;
        }
        Err(self.fault())
    }

    fn short_entry(&mut self, table: u64, index: u64) -> Result<u64, PageFault> {
        let place = Gpa(table + index * 4);
        let entry = self.memory.read_u32(place).map(u64::from);
        self.follow(place, entry)
    }

    fn entry(&mut self, table: u64, index: u64) -> Result<u64, PageFault> {
        let place = Gpa(table + index * 8);
        let entry = self.memory.read_u64(place);
        self.follow(place, entry)
    }

    fn follow(&mut self, place: Gpa, entry: Option<u64>) -> Result<u64, PageFault> {
        let entry = entry
            .filter(|entry| entry & PRESENT != 0)
            .ok_or_else(|| self.fault())?;
        // There is room for as many as there are levels.
        let _ = self.path.push((place, entry as u8));
        Ok(entry)
    }

    fn found(&self, gpa: u64, rights: u64) -> Translation {
        Translation {
            gpa: Gpa(gpa),
            rights,
            path: self.path.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::memory::tests::leaked;

    fn paged(cr4: u64, efer: u64) -> Save {
        let mut save = Save::zeroed();
        save.cr0 = CR0_PG | 1 | 1 << 16;
        save.cr3 = 0x1000;
        save.cr4 = cr4;
        save.efer = efer;
        save
    }

    #[test]
    fn without_paging_linear_is_physical() {
        let memory = leaked(4096);
        let save = Save::zeroed();
        assert_eq!(translate(&save, &memory, 0x1_0000_0123), Ok(Gpa(0x123)));
    }

    #[test]
    fn two_levels_map_4_kib_and_4_mib() {
        let mut memory = leaked(0x4000);
        memory.write(Gpa(0x1000 + 4), &0x2003u32.to_le_bytes());
        memory.write(Gpa(0x2000 + 8), &0x0030_0003u32.to_le_bytes());
        memory.write(Gpa(0x1000 + 8), &0x0080_0083u32.to_le_bytes());
        let save = paged(CR4_PSE, 0);
        assert_eq!(translate(&save, &memory, 0x0040_2345), Ok(Gpa(0x0030_0345)));
        assert_eq!(translate(&save, &memory, 0x0081_2345), Ok(Gpa(0x0081_2345)));
        assert!(translate(&save, &memory, 0x00c0_0000).is_err());
    }

    #[test]
    fn pae_and_long_mode_map_large_pages() {
        let mut memory = leaked(0x5000);
        memory.write(Gpa(0x1000), &0x2003u64.to_le_bytes());
        memory.write(Gpa(0x2000), &0x3003u64.to_le_bytes());
        memory.write(Gpa(0x3000), &0x0060_0083u64.to_le_bytes());
        let long = paged(CR4_PAE, EFER_LMA);
        assert_eq!(translate(&long, &memory, 0x12_3456), Ok(Gpa(0x72_3456)));
        memory.write(Gpa(0x2000), &0x0060_0083u64.to_le_bytes());
        let pae = paged(CR4_PAE, 0);
        assert_eq!(translate(&pae, &memory, 0x12_3456), Ok(Gpa(0x72_3456)));
    }

    #[test]
    fn a_write_to_a_read_only_page_is_the_guest_s_fault() {
        let mut memory = leaked(0x4000);
        memory.write(Gpa(0x1000), &0x2003u32.to_le_bytes());
        memory.write(Gpa(0x2000), &0x3001u32.to_le_bytes());
        let save = paged(0, 0);
        let write = Access {
            write: true,
            user: false,
        };
        assert_eq!(
            translate_for(&save, &memory, 0x10, write).map(|page| page.gpa),
            Err(PageFault {
                linear: 0x10,
                error: 3
            })
        );
        let read = Access {
            write: false,
            ..write
        };
        let found = translate_for(&save, &memory, 0x10, read);
        assert_eq!(found.map(|page| page.gpa), Ok(Gpa(0x3010)));
    }

    /// The entries of every level, as the CPU leaves them behind a read and a write.
    #[test]
    fn an_access_marks_each_entry_as_accessed_and_a_write_the_last_as_dirty() {
        const USED: u64 = PRESENT | WRITABLE | USER | ACCESSED;
        let tables: [(u64, u64, &[u64]); 5] = [
            (0, 0, &[0x1000, 0x2000]),
            (CR4_PSE, 0, &[0x1000]),
            (CR4_PAE, 0, &[0x2000, 0x3000]),
            (CR4_PAE, EFER_LMA, &[0x1000, 0x2000, 0x3000, 0x4000]),
            (CR4_PAE, EFER_LMA, &[0x1000, 0x2000, 0x3000]),
        ];
        for (cr4, efer, places) in tables {
            let mut memory = leaked(0x8000);
            let short = cr4 & CR4_PAE == 0;
            let width = if short { 4 } else { 8 };
            let is_small = places.len() == 4 || places == [0x1000, 0x2000] || places[0] == 0x2000;
            if cr4 == CR4_PAE && efer == 0 {
                memory.write(Gpa(0x1000), &0x2001u64.to_le_bytes());
            }
            for (index, place) in places.iter().enumerate() {
                let is_last = index + 1 == places.len();
                let large = if is_last && !is_small { LARGE } else { 0 };
                let next = if is_last { 0 } else { places[index + 1] };
                let entry = next | large | PRESENT | WRITABLE | USER;
                memory.write(Gpa(*place), &entry.to_le_bytes()[..width]);
            }
            let save = paged(cr4, efer);
            let mut access = |write| {
                let access = Access { write, user: true };
                let page = translate_for(&save, &memory, 0x10, access).unwrap();
                page.mark(&mut memory, write);
                let byte = |place: &u64| u64::from(memory.read_u8(Gpa(*place)).unwrap());
                places
                    .iter()
                    .map(|place| byte(place) & !LARGE)
                    .collect::<std::vec::Vec<_>>()
            };
            assert!(access(false).iter().all(|entry| *entry == USED));
            let written = access(true);
            let (last, upper) = written.split_last().unwrap();
            assert_eq!(*last, USED | DIRTY);
            assert!(upper.iter().all(|entry| *entry == USED));
        }
        let mut memory = leaked(0x8000);
        memory.write(Gpa(0x1000), &0x2001u64.to_le_bytes());
        memory.write(Gpa(0x2000), &0x3003u64.to_le_bytes());
        memory.write(Gpa(0x3000), &0x4003u64.to_le_bytes());
        let by = Access {
            write: true,
            user: false,
        };
        let page = translate_for(&paged(CR4_PAE, 0), &memory, 0, by).unwrap();
        page.mark(&mut memory, true);
        assert_eq!(
            memory.read_u64(Gpa(0x1000)),
            Some(0x2001),
            "a pointer of PAE"
        );
    }

    #[test]
    fn tables_outside_guest_memory_are_not_present() {
        let memory = leaked(4096);
        let mut save = paged(0, 0);
        save.cr3 = 0xffff_f000;
        assert_eq!(
            translate(&save, &memory, 0x10),
            Err(PageFault {
                linear: 0x10,
                error: 0
            })
        );
    }
}
