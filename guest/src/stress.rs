//! A random walk through paging, with a model that knows what the processor must do at each step.
//!
//! Several address spaces share a few frames. Pages are mapped, unmapped, given other frames and
//! other rights, whole tables are emptied, CR3 and CR0.WP change; every access either reads what
//! was written last to the frame, or faults as the rights say. The same seed gives the same walk.

/// Address spaces.
pub const SPACES: usize = 4;
/// Pages of an address space, in [`TABLES`] page tables.
pub const PAGES: usize = 64;
/// Page tables of an address space.
pub const TABLES: usize = 2;
/// Frames that the pages are mapped to.
pub const FRAMES: usize = 24;

/// A page that is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// The frame, below [`FRAMES`].
    pub frame: usize,
    /// Writing is allowed.
    pub writable: bool,
    /// The processor has used the entry.
    pub accessed: bool,
    /// The processor has written by the entry.
    pub dirty: bool,
}

/// A step of the walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Give a page this entry, whatever it had.
    Map(usize, usize, Mapping),
    /// Empty a page's entry.
    Unmap(usize, usize),
    /// Empty one of the page tables of the space in use.
    Empty(usize),
    /// Load CR3 with this space.
    Load(usize),
    /// Set or clear CR0.WP.
    Protect(bool),
    /// Read the first word of a page of the space in use.
    Read(usize),
    /// Write it.
    Write(usize, u32),
}

/// How an access must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With this word in the frame, and this entry.
    Word(u32, Mapping),
    /// With a page fault of this error code.
    Fault(u32),
}

/// The walk, and all that is true at its present place.
#[derive(Debug, Clone)]
pub struct Walk {
    random: u64,
    space: usize,
    protects: bool,
    pages: [[Option<Mapping>; PAGES]; SPACES],
    words: [u32; FRAMES],
}

impl Walk {
    /// At its beginning: nothing is mapped, all words are 0, the first space is in use, CR0.WP
    /// is set.
    pub fn new(seed: u64) -> Self {
        Self {
            random: seed | 1,
            space: 0,
            protects: true,
            pages: [[None; PAGES]; SPACES],
            words: [0; FRAMES],
        }
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        // Xorshift with a multiplication: every number but 0 has its turn.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end.max(1)
    }

    fn mapping(&mut self) -> Mapping {
        let bits = self.below(8);
        let dirty = bits & 1 != 0;
        Mapping {
            frame: self.below(FRAMES),
            writable: bits & 2 != 0,
            accessed: dirty || bits & 4 != 0,
            dirty,
        }
    }

    /// The next step.
    pub fn step(&mut self) -> Step {
        let page = self.below(PAGES);
        match self.below(100) {
            0..20 => {
                let space = self.below(SPACES);
                Step::Map(space, page, self.mapping())
            }
            20..25 => Step::Unmap(self.below(SPACES), page),
            25 => Step::Empty(self.below(TABLES)),
            26..32 => Step::Load(self.below(SPACES)),
            32 => Step::Protect(self.below(2) == 0),
            33..66 => Step::Read(page),
            _ => Step::Write(page, self.below(1 << 31) as u32),
        }
    }

    /// Takes the step in the model; how it must end, if it is an access.
    pub fn take(&mut self, step: Step) -> Option<Ending> {
        match step {
            Step::Map(space, page, mapping) => *self.page(space, page)? = Some(mapping),
            Step::Unmap(space, page) => *self.page(space, page)? = None,
            Step::Empty(table) => {
                for page in 0..PAGES / TABLES {
                    *self.page(self.space, table * (PAGES / TABLES) + page)? = None;
                }
            }
            Step::Load(space) => self.space = space,
            Step::Protect(protects) => self.protects = protects,
            Step::Read(page) => return Some(self.access(page, None)),
            Step::Write(page, word) => return Some(self.access(page, Some(word))),
        }
        None
    }

    fn page(&mut self, space: usize, page: usize) -> Option<&mut Option<Mapping>> {
        self.pages.get_mut(space)?.get_mut(page)
    }

    fn access(&mut self, page: usize, word: Option<u32>) -> Ending {
        const PRESENT: u32 = 1;
        let write = if word.is_some() { 2 } else { 0 };
        let protects = self.protects;
        let Some(Some(mapping)) = self.page(self.space, page) else {
            return Ending::Fault(write);
        };
        if word.is_some() && protects && !mapping.writable {
            return Ending::Fault(PRESENT | write);
        }
        mapping.accessed = true;
        mapping.dirty |= word.is_some();
        let mapping = *mapping;
        let Some(cell) = self.words.get_mut(mapping.frame) else {
            return Ending::Fault(PRESENT);
        };
        *cell = word.unwrap_or(*cell);
        Ending::Word(*cell, mapping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_same_seed_is_the_same_walk_and_another_is_another() {
        let walk = |seed| {
            let mut walk = Walk::new(seed);
            let steps = core::iter::repeat_with(|| {
                let step = walk.step();
                (step, walk.take(step))
            });
            steps.take(1000).collect::<std::vec::Vec<_>>()
        };
        assert_eq!(walk(3), walk(3));
        assert_ne!(walk(3), walk(5));
    }

    #[test]
    fn a_page_has_the_rights_and_the_frame_that_it_was_given() {
        let mut walk = Walk::new(1);
        let read_only = Mapping {
            frame: 7,
            writable: false,
            accessed: false,
            dirty: false,
        };
        let used = Mapping {
            accessed: true,
            ..read_only
        };
        let written = Mapping {
            dirty: true,
            ..used
        };
        assert_eq!(walk.take(Step::Read(3)), Some(Ending::Fault(0)));
        assert_eq!(walk.take(Step::Write(3, 1)), Some(Ending::Fault(2)));
        walk.take(Step::Map(0, 3, read_only));
        assert_eq!(walk.take(Step::Write(3, 1)), Some(Ending::Fault(3)));
        assert_eq!(walk.take(Step::Read(3)), Some(Ending::Word(0, used)));
        walk.take(Step::Protect(false));
        assert_eq!(walk.take(Step::Write(3, 9)), Some(Ending::Word(9, written)));
        walk.take(Step::Map(1, 5, used));
        walk.take(Step::Load(1));
        assert_eq!(walk.take(Step::Read(5)), Some(Ending::Word(9, used)));
        walk.take(Step::Empty(0));
        assert_eq!(walk.take(Step::Read(5)), Some(Ending::Fault(0)));
    }

    #[test]
    fn a_walk_sees_every_ending() {
        let mut walk = Walk::new(1);
        let mut endings = BTreeSet::new();
        for _ in 0..10_000 {
            let step = walk.step();
            endings.insert(match walk.take(step) {
                None => "none",
                Some(Ending::Fault(0)) => "read of nothing",
                Some(Ending::Fault(2)) => "write of nothing",
                Some(Ending::Fault(_)) => "write of what is read-only",
                Some(Ending::Word(..)) => "a word",
            });
        }
        assert_eq!(endings.len(), 5, "{endings:?}");
    }
}
