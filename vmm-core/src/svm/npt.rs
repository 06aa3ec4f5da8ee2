//! Nested page tables: guest-physical to host-physical (APM 15.25).
//!
//! A VM's memory is one piece, so the tables are the identity plus an offset: 2 MiB pages
//! where they fit, 1 GiB pages too if the CPU has them, 4 KiB pages for the rest. What is not
//! mapped is not memory.

use crate::addr::{Gpa, HUGE_PAGE, Hpa, LARGE_PAGE, PAGE};

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
/// Every nested walk counts as a user access (APM 15.25.5).
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const FRAME: u64 = 0x000f_ffff_ffff_f000;
/// Rights of memory, and of tables: the guest's own tables need to be writable too, since
/// the CPU sets accessed and dirty bits in them.
const RIGHTS: u64 = PRESENT | WRITABLE | USER;

/// A page of page-table entries.
pub type Table = [u64; 512];

/// Where table pages come from.
pub trait TablePages {
    /// A zeroed page; `None` when there is no more memory.
    fn allocate(&mut self) -> Option<Hpa>;
    /// The table at an address that `allocate` returned.
    fn table(&mut self, at: Hpa) -> &mut Table;
    /// Takes back a page that `allocate` returned; nothing points to it any more.
    fn give_back(&mut self, at: Hpa);
}

/// Builds tables that map guest-physical `0..bytes` to `hpa..`; returns N_CR3. `None`, and
/// every page given back, when the pages ran out. `huge`: the CPU has pages of 1 GiB.
pub fn build(pages: &mut impl TablePages, hpa: Hpa, bytes: u64, huge: bool) -> Option<Hpa> {
    let root = pages.allocate()?;
    let filled = fill(pages, root, hpa, bytes, huge);
    if filled.is_none() {
        free(pages, root);
    }
    filled.map(|()| root)
}

/// Gives back the tables that [`build`] made, found by walking them from N_CR3.
pub fn free(pages: &mut impl TablePages, root: Hpa) {
    const ROOT: u32 = 4;
    free_table(pages, root, ROOT);
}

fn free_table(pages: &mut impl TablePages, table: Hpa, level: u32) {
    const LOWEST: u32 = 1;
    for index in (0..512).filter(|_| level > LOWEST) {
        let entry = pages.table(table)[index];
        if entry & PRESENT != 0 && entry & LARGE == 0 {
            free_table(pages, Hpa(entry & FRAME), level - 1);
        }
    }
    pages.give_back(table);
}

/// Maps the memory in the tables at `root`; `None` when the pages ran out.
fn fill(pages: &mut impl TablePages, root: Hpa, hpa: Hpa, bytes: u64, huge: bool) -> Option<()> {
    let mut gpa = 0;
    while gpa < bytes {
        let fits = |page: u64| bytes - gpa >= page && (gpa | (hpa.0 + gpa)).is_multiple_of(page);
        let (level, size, flags) = if huge && fits(HUGE_PAGE) {
            (3, HUGE_PAGE, RIGHTS | LARGE)
        } else if fits(LARGE_PAGE) {
            (2, LARGE_PAGE, RIGHTS | LARGE)
        } else {
            (1, PAGE, RIGHTS)
        };
        let entry = entry(pages, root, Gpa(gpa), level)?;
        *entry = (hpa.0 + gpa) | flags;
        gpa += size;
    }
    Some(())
}

/// The entry of `level` (1: 4 KiB, 2: 2 MiB, 3: 1 GiB) for `gpa`, with the tables above it made.
fn entry(pages: &mut impl TablePages, root: Hpa, gpa: Gpa, level: u32) -> Option<&mut u64> {
    let index = |level: u32| (gpa.0 >> (12 + 9 * (level - 1)) & 0x1ff) as usize;
    let mut table = root;
    for upper in (level + 1..=4).rev() {
        let present = pages.table(table)[index(upper)];
        table = if present & PRESENT != 0 {
            Hpa(present & FRAME)
        } else {
            let new = pages.allocate()?;
            pages.table(table)[index(upper)] = new.0 | RIGHTS;
            new
        };
    }
    Some(&mut pages.table(table)[index(level)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Table pages in a vector: page `n` is at address `(n + 1) * 4096`.
    struct Pages {
        tables: Vec<Table>,
        most: usize,
        given_back: Vec<Hpa>,
    }

    impl Pages {
        fn at_most(most: usize) -> Pages {
            let (tables, given_back) = (Vec::new(), Vec::new());
            Pages {
                tables,
                most,
                given_back,
            }
        }

        /// Whether every page that was taken came back, once.
        fn are_all_back(&self) -> bool {
            let mut pages: Vec<u64> = self.given_back.iter().map(|page| page.0 / PAGE).collect();
            pages.sort();
            pages.into_iter().eq(1..=self.tables.len() as u64)
        }
    }

    impl TablePages for Pages {
        fn allocate(&mut self) -> Option<Hpa> {
            if self.tables.len() == self.most {
                return None;
            }
            self.tables.push([0; 512]);
            Some(Hpa(self.tables.len() as u64 * PAGE))
        }

        fn table(&mut self, at: Hpa) -> &mut Table {
            &mut self.tables[(at.0 / PAGE - 1) as usize]
        }

        fn give_back(&mut self, at: Hpa) {
            self.given_back.push(at);
        }
    }

    /// The walk that the CPU does.
    fn walk(pages: &mut Pages, root: Hpa, gpa: u64) -> Option<u64> {
        let mut table = root;
        for level in (1..=4).rev() {
            let shift = 12 + 9 * (level - 1);
            let entry = pages.table(table)[(gpa >> shift & 0x1ff) as usize];
            if entry & RIGHTS != RIGHTS {
                return None;
            }
            if level == 1 || entry & LARGE != 0 {
                let within = (1u64 << shift) - 1;
                return Some(entry & FRAME & !within | gpa & within);
            }
            table = Hpa(entry & FRAME);
        }
        None
    }

    proptest! {
        /// All of the VM's memory is mapped, to the right place, and nothing else.
        #[test]
        fn exactly_the_vm_s_memory_is_mapped(
            frames in 1u64..3000, base in 1u64..4, huge: bool, probes in proptest::collection::vec(0u64..(16 << 20), 50),
        ) {
            let (hpa, bytes) = (base * LARGE_PAGE, frames * PAGE);
            let mut pages = Pages::at_most(usize::MAX);
            let root = build(&mut pages, Hpa(hpa), bytes, huge).unwrap();
            for gpa in probes.into_iter().chain([0, bytes - 1, bytes, bytes + PAGE, 1 << 47]) {
                let expected = (gpa < bytes).then_some(hpa + gpa);
                prop_assert_eq!(walk(&mut pages, root, gpa), expected);
            }
        }

        /// Freed or run out of, no page is lost, and none comes back twice.
        #[test]
        fn every_table_page_comes_back(frames in 1u64..3000, base in 1u64..4, most in 0usize..12) {
            let mut pages = Pages::at_most(most);
            if let Some(root) = build(&mut pages, Hpa(base * LARGE_PAGE), frames * PAGE, true) {
                prop_assert!(pages.given_back.is_empty());
                free(&mut pages, root);
            }
            prop_assert!(pages.are_all_back(), "{:?} of {}", pages.given_back, pages.tables.len());
        }
    }

    #[test]
    fn large_pages_are_used_where_they_fit() {
        let mut pages = Pages::at_most(usize::MAX);
        build(&mut pages, Hpa(LARGE_PAGE), 64 << 20, true);
        assert_eq!(pages.tables.len(), 3, "root, pointers, directory");
    }

    #[test]
    fn pages_of_1_gib_are_used_where_they_fit_and_the_cpu_has_them() {
        let bytes = 2 * HUGE_PAGE + LARGE_PAGE + PAGE;
        for (huge, tables) in [(true, 4), (false, 6)] {
            let mut pages = Pages::at_most(usize::MAX);
            let root = build(&mut pages, Hpa(HUGE_PAGE), bytes, huge).unwrap();
            assert_eq!(
                pages.tables.len(),
                tables,
                "root, pointers, directories, table"
            );
            for gpa in [0, HUGE_PAGE - 1, HUGE_PAGE, 2 * HUGE_PAGE, bytes - 1] {
                assert_eq!(walk(&mut pages, root, gpa), Some(HUGE_PAGE + gpa));
            }
            assert_eq!(walk(&mut pages, root, bytes), None);
            free(&mut pages, root);
            assert!(pages.are_all_back());
        }
        let mut pages = Pages::at_most(usize::MAX);
        build(&mut pages, Hpa(LARGE_PAGE), HUGE_PAGE, true);
        assert_eq!(pages.tables.len(), 3, "not at a multiple of 1 GiB");
    }
}
