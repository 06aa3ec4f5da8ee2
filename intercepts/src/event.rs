//! The event format shared by EVENTINJ and EXITINTINFO (APM 15.20, 15.7.2).

use crate::bits::bits;

bits! {
    /// EVENTINJ (0A8h) and EXITINTINFO (088h).
    pub mod injection: u64;
    VECTOR = 7:0, "Vector; ignored for an NMI";
    TYPE = 10:8, "What kind of event" {
        0 => "external or virtual interrupt",
        2 => "NMI",
        3 => "exception",
        4 => "software interrupt (INTn)",
    };
    EV = 11, "The event has an error code";
    V = 31, "There is an event; otherwise the rest may be stale";
    ERRORCODE = 63:32, "The error code";
}

/// What kind of event is injected or was interrupted: bits 10:8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EventKind {
    /// An external or virtual interrupt.
    Interrupt = 0,
    /// A non-maskable interrupt; the vector is ignored.
    Nmi = 2,
    /// An exception: a fault or a trap.
    Exception = 3,
    /// A software interrupt: INTn.
    Software = 4,
}

/// EVENTINJ or EXITINTINFO: vector 7:0, type 10:8, EV 11, V 31, error code 63:32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Event(pub u64);

impl Event {
    /// No event: the valid bit is clear.
    pub const NONE: Event = Event(0);

    /// An external interrupt with this vector.
    pub const fn interrupt(vector: u8) -> Event {
        Event(injection::V | vector as u64)
    }

    /// A non-maskable interrupt.
    pub const fn nmi() -> Event {
        Event(injection::V | (EventKind::Nmi as u64) << 8 | 2)
    }

    /// An exception without error code.
    pub const fn exception(vector: u8) -> Event {
        Event(injection::V | (EventKind::Exception as u64) << 8 | vector as u64)
    }

    /// An exception that pushes `error`.
    pub const fn exception_with_error(vector: u8, error: u32) -> Event {
        Event(Self::exception(vector).0 | injection::EV | (error as u64) << 32)
    }

    /// INTn with this vector.
    pub const fn software(vector: u8) -> Event {
        Event(injection::V | (EventKind::Software as u64) << 8 | vector as u64)
    }

    /// Whether bit 31 says that there is an event at all. Other bits may be stale.
    pub const fn is_valid(self) -> bool {
        self.0 & injection::V != 0
    }

    /// The vector, bits 7:0.
    pub const fn vector(self) -> u8 {
        self.0 as u8
    }

    /// The kind, bits 10:8; `None` for a reserved encoding.
    pub const fn kind(self) -> Option<EventKind> {
        match (self.0 >> 8) & 7 {
            0 => Some(EventKind::Interrupt),
            2 => Some(EventKind::Nmi),
            3 => Some(EventKind::Exception),
            4 => Some(EventKind::Software),
            _ => None,
        }
    }

    /// The error code, if bit 11 says there is one.
    pub const fn error(self) -> Option<u32> {
        if self.0 & injection::EV == 0 {
            None
        } else {
            Some((self.0 >> 32) as u32)
        }
    }
}
