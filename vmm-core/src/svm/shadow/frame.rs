//! What is known of a frame of the guest: who may write to it, and what mirrors it.

/// As many entries map a frame writable at a time. No instruction writes through more pages that
/// may be one frame: what ENTER pushes, and the end of its stack that it looks at, may span two
/// each.
pub(super) const WRITERS: usize = 4;
const NO_WRITER: u32 = u32::MAX;
/// No table has the frame in its key.
pub(super) const NO_TABLE: u16 = u16::MAX;

/// What is known of a guest frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// The entries that map it writable, the oldest one last.
    writers: [u32; WRITERS],
    /// The first of the tables with this frame in their key.
    pub(super) tables: u16,
    /// It is mirrored, and not writable.
    pub(super) is_guarded: bool,
    /// Its mirrors may differ from it: it is among [`Pool::loose`].
    pub(super) is_loose: bool,
}

impl Frame {
    /// A frame that nothing maps or mirrors.
    pub(super) const NEW: Frame = Frame {
        writers: [NO_WRITER; WRITERS],
        tables: NO_TABLE,
        is_guarded: false,
        is_loose: false,
    };

    /// Whether another entry may map it writable and take that from none.
    pub(super) fn has_place_for_writer(&self) -> bool {
        self.writers[WRITERS - 1] == NO_WRITER
    }

    /// An entry that maps it writable no longer does.
    #[inline(always)]
    pub(super) fn remove_writer(&mut self, place: Place) {
        let gone = place.pack();
        // The newest leaves a gap, which the next one fills.
        if self.writers[0] == gone {
            self.writers[0] = NO_WRITER;
        } else {
            self.remove_older_writer(gone);
        }
    }

    fn remove_older_writer(&mut self, gone: u32) {
        if let Some(at) = self.writers.iter().position(|writer| *writer == gone) {
            self.writers.copy_within(at + 1.., at);
            self.writers[WRITERS - 1] = NO_WRITER;
        }
    }

    /// Another entry maps it writable; the one that is not to any more, where they were all there
    /// may be.
    #[inline(always)]
    pub(super) fn add_writer(&mut self, place: Place) -> Option<Place> {
        let newest = core::mem::replace(&mut self.writers[0], place.pack());
        if newest == NO_WRITER {
            None
        } else {
            self.age_writers(newest)
        }
    }

    /// The newest but one has been pushed aside.
    fn age_writers(&mut self, second: u32) -> Option<Place> {
        let oldest = self.writers[WRITERS - 1];
        self.writers.copy_within(1..WRITERS - 1, 2);
        self.writers[1] = second;
        (oldest != NO_WRITER).then(|| Place::unpack(oldest))
    }

    /// The entries that map it writable, which are to do so no more.
    pub(super) fn take_writers(&mut self) -> impl Iterator<Item = Place> + use<> {
        let writers = core::mem::replace(&mut self.writers, [NO_WRITER; WRITERS]);
        let there = writers.into_iter().filter(|writer| *writer != NO_WRITER);
        there.map(Place::unpack)
    }
}

/// An entry of a shadow table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) table: u16,
    pub(super) index: u16,
}

impl Place {
    fn pack(self) -> u32 {
        u32::from(self.table) << 9 | u32::from(self.index)
    }

    fn unpack(packed: u32) -> Place {
        Place {
            table: (packed >> 9) as u16,
            index: packed as u16 & 0x1ff,
        }
    }
}
