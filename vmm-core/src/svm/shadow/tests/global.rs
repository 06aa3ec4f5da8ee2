//! Global pages outlive a load of CR3, and nothing else that flushes (APM 5.5.2).

use super::tlb::Tlb;
use super::*;
use crate::svm::tlb;

const READ: Access = Access {
    write: false,
    user: false,
    fetch: false,
};
const G: u64 = GLOBAL;

/// A guest of this kind with two address spaces, at 1000h and 2000h: in both, the first page is
/// global, and the second is not.
struct Guest {
    shadow: Shadow,
    memory: GuestMemory,
    tlb: Tlb,
    kind: Kind,
}

impl Guest {
    fn new(kind: Kind) -> Guest {
        let (shadow, mut memory) = machine(TABLES_ENOUGH);
        let mut entry = |at: u64, entry: u64| {
            let bytes = entry.to_le_bytes();
            let width = if kind == Kind::TwoLevel { 4 } else { 8 };
            memory.write(Gpa(at), &bytes[..width]).unwrap();
        };
        for (space, own) in [(0x1000, 0x10_000), (0x2000, 0x20_000)] {
            let upper = if kind == Kind::Pae { 1 } else { 7 };
            let levels = match kind {
                Kind::Long => [space, own, own + 0x1000].to_vec(),
                Kind::Pae => [space, own + 0x1000].to_vec(),
                _ => [space].to_vec(),
            };
            let tables = [&levels[..], &[own + 0x2000]].concat();
            for (level, pair) in tables.windows(2).enumerate() {
                entry(pair[0], pair[1] | if level == 0 { upper } else { 7 });
            }
            let width = if kind == Kind::TwoLevel { 4 } else { 8 };
            entry(own + 0x2000, 0x50_000 | 7 | G);
            entry(own + 0x2000 + width, (own + 0x3000) | 7);
        }
        let mut guest = Guest {
            shadow,
            memory,
            tlb: Tlb::default(),
            kind,
        };
        guest.load(0x1000, true);
        guest
    }

    /// Loads CR3, and CR4.PGE with it.
    fn load(&mut self, root: u64, pge: bool) -> Flush {
        let mut registers = registers(self.kind, root, true);
        registers.cr4 |= if pge { CR4_PGE } else { 0 };
        self.shadow.activate(&self.memory, registers);
        self.enter()
    }

    fn invlpg(&mut self, linear: u64) -> Flush {
        self.shadow.invalidate(&self.memory, linear);
        self.enter()
    }

    fn enter(&mut self) -> Flush {
        let flush = self.shadow.take_flush();
        self.tlb.enter(tlb::control(flush, true));
        flush
    }

    /// Reads both pages.
    fn read(&mut self) {
        for linear in [0, PAGE] {
            access(&mut self.shadow, &mut self.memory, linear, READ);
            self.tlb.fill(&self.shadow, linear);
        }
    }

    fn has(&self) -> [bool; 2] {
        [0, PAGE].map(|linear| self.tlb.find(linear, READ).is_some())
    }
}

#[test]
fn a_load_of_cr3_spares_global_pages_alone() {
    for kind in [Kind::TwoLevel, Kind::Pae, Kind::Long] {
        let mut guest = Guest::new(kind);
        guest.read();
        guest.enter();
        assert_eq!(guest.has(), [true, true]);
        assert_eq!(guest.load(0x2000, true), Flush::NonGlobal);
        assert_eq!(guest.has(), [true, false], "{kind:?}");
        guest.read();
        guest.enter();
        assert_eq!(guest.load(0x1000, true), Flush::NonGlobal);
        assert_eq!(guest.has(), [true, false], "{kind:?}");
    }
}

#[test]
fn a_change_of_pge_flushes_global_pages_too() {
    let mut guest = Guest::new(Kind::Pae);
    guest.read();
    guest.enter();
    assert_eq!(guest.load(0x1000, false), Flush::All);
    assert_eq!(guest.tlb.len(), 0);
    guest.read();
    guest.enter();
    assert_eq!(guest.has(), [true, true]);
    guest.load(0x2000, false);
    assert_eq!(guest.has(), [false, false], "without PGE no page is global");
    assert_eq!(guest.load(0x2000, true), Flush::All);
}

/// Also one that was taken in for the address space before.
#[test]
fn invlpg_drops_a_global_page_of_whichever_space() {
    let mut guest = Guest::new(Kind::TwoLevel);
    guest.read();
    guest.enter();
    guest.load(0x2000, true);
    assert_eq!(guest.has(), [true, false]);
    guest.invlpg(0);
    assert_eq!(guest.has(), [false, false]);
    assert_eq!(guest.invlpg(0), Flush::Nothing, "nothing is left to drop");
}

#[test]
fn a_page_that_is_global_no_more_goes_with_the_next_flush_of_it() {
    let mut guest = Guest::new(Kind::Long);
    guest.read();
    guest.enter();
    let table = 0x12_000;
    let Guest { shadow, memory, .. } = &mut guest;
    memory.write(Gpa(table), &(0x50_000u64 | 7 | 0x20).to_le_bytes());
    assert!(shadow.wrote(memory, table..table + 8));
    assert_eq!(guest.invlpg(0), Flush::All);
    guest.read();
    guest.enter();
    guest.load(0x2000, true);
    assert_eq!(guest.has(), [false, false]);
}

/// What the VMM takes from the guest is gone, global or not: a frame that becomes a table.
#[test]
fn a_global_page_that_becomes_a_table_is_not_writable_any_more() {
    let mut guest = Guest::new(Kind::Long);
    let write = Access::of(0b10);
    access(&mut guest.shadow, &mut guest.memory, 0, write);
    guest.enter();
    // Its frame is now the root.
    assert_eq!(guest.load(0x50_000, true), Flush::All);
}
