//! Where the machine's screen appears: `--display`.

use std::fmt;
use std::str::FromStr;

use crate::failure::{Failure, Result};
use crate::setup::Need;

/// A display of QEMU's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Display {
    /// Nowhere.
    None,
    /// A window.
    Gtk,
    /// Text, on this terminal.
    Curses,
    /// A VNC server with this number.
    Vnc(u16),
}

impl Display {
    /// Whether a person can reach QEMU's own monitor on it.
    pub fn is_graphical(self) -> bool {
        self != Display::None
    }

    /// What must be on the machine for it.
    pub fn need(self) -> Option<Need> {
        match self {
            Display::None | Display::Vnc(_) => None,
            Display::Gtk => Some(Need::Display("gtk")),
            Display::Curses => Some(Need::Display("curses")),
        }
    }

    /// Fails where it could not appear.
    pub fn check(self) -> Result<()> {
        let desktop = ["WAYLAND_DISPLAY", "DISPLAY"]
            .iter()
            .any(|name| std::env::var_os(name).is_some());
        if self == Display::Gtk && !desktop {
            return Err(Failure::unavailable(
                "--display gtk needs a desktop, and there is none here; try --display curses or vnc=:0",
            ));
        }
        Ok(())
    }

    /// Where to look, for a person.
    pub fn hint(self) -> Option<String> {
        match self {
            Display::None => None,
            Display::Gtk => Some("the screen is in QEMU's window; closing it quits".into()),
            Display::Curses => Some(
                "the screen is this terminal; to quit: Alt-2 (or Esc 2), then type quit and Enter"
                    .into(),
            ),
            Display::Vnc(number) => Some(format!(
                "the screen is at 127.0.0.1:{} for a VNC viewer",
                5900 + u32::from(number)
            )),
        }
    }
}

impl FromStr for Display {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Display, String> {
        match text {
            "none" => Ok(Display::None),
            "gtk" => Ok(Display::Gtk),
            "curses" => Ok(Display::Curses),
            _ => text
                .strip_prefix("vnc=:")
                .and_then(|number| number.parse().ok())
                .map(Display::Vnc)
                .ok_or_else(|| "write none, gtk, curses or vnc=:N, with N from 0 to 65535".into()),
        }
    }
}

/// As QEMU writes it. VNC listens on this machine alone.
impl fmt::Display for Display {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Display::None => f.write_str("none"),
            Display::Gtk => f.write_str("gtk"),
            Display::Curses => f.write_str("curses"),
            Display::Vnc(number) => write!(f, "vnc=127.0.0.1:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_that_is_none_of_the_four_is_refused() {
        assert_eq!("vnc=:7".parse(), Ok(Display::Vnc(7)));
        for wrong in ["", "sdl", "vnc", "vnc=7", "vnc=:x", "GTK"] {
            assert!(wrong.parse::<Display>().is_err(), "{wrong}");
        }
    }
}
