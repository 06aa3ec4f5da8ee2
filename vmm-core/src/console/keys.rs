//! The console's keys: Ctrl-] opens it, from then on they are the VMM's until one closes it.

/// Ctrl-].
const CTRL_BRACKET: u8 = 0x1d;
const ESCAPE: u8 = 0x1b;

/// What a person wants of the VMM. Where it is about a VM, it is the one in focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Show the list of VMs.
    List,
    /// Back to the guest.
    Close,
    /// Back, to the VM with this index.
    Focus(usize),
    /// Look at the next VM.
    Next,
    /// Start it if it is off, else turn it off.
    Switch,
    /// Pause it, or go on.
    Pause,
    /// Turn it off and start it.
    Reset,
    /// Press its power button.
    Button,
    /// Show what it stopped for.
    Exits,
    /// Show the log, a page further back each time.
    Log,
    /// End everything.
    Quit,
}

/// What a byte that was typed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// The guest's.
    Guest(u8),
    /// The VMM's.
    Order(Order),
}

/// Tells the guest's bytes from the VMM's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keys {
    open: bool,
}

impl Keys {
    /// Whether the console is open.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Opens the console, as Ctrl-] does.
    pub fn open(&mut self) -> Order {
        self.open = true;
        Order::List
    }

    /// What `byte` is, after those before it. A key without meaning shows the list, which names
    /// those that have one.
    pub fn feed(&mut self, byte: u8) -> Typed {
        if byte == CTRL_BRACKET {
            return Typed::Order(self.open());
        }
        if !self.open {
            return Typed::Guest(byte);
        }
        self.open = !matches!(byte, b'1'..=b'9' | b'\r' | b'\n' | ESCAPE | b']');
        Typed::Order(match byte {
            b'1'..=b'9' => Order::Focus(usize::from(byte - b'1')),
            b'\r' | b'\n' | ESCAPE => Order::Close,
            b']' => return Typed::Guest(CTRL_BRACKET),
            b'n' => Order::Next,
            b's' => Order::Switch,
            b'p' => Order::Pause,
            b'r' => Order::Reset,
            b'b' => Order::Button,
            b'e' => Order::Exits,
            b'l' => Order::Log,
            b'q' => Order::Quit,
            _ => Order::List,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Order::*;
    use super::*;

    fn typed(bytes: &[u8]) -> Vec<Typed> {
        let mut keys = Keys::default();
        bytes.iter().map(|byte| keys.feed(*byte)).collect()
    }

    #[test]
    fn bytes_are_the_guest_s_until_ctrl_bracket() {
        assert_eq!(typed(b"q\x03"), [Typed::Guest(b'q'), Typed::Guest(3)]);
        assert_eq!(typed(b"\x1dq"), [List, Quit].map(Typed::Order));
    }

    #[test]
    fn a_number_goes_to_that_vm_and_closes() {
        let [list, focus] = [List, Focus(1)].map(Typed::Order);
        assert_eq!(typed(b"\x1d2s"), [list, focus, Typed::Guest(b's')]);
    }

    #[test]
    fn orders_about_a_vm_leave_the_console_open() {
        let orders =
            [List, Switch, Pause, Reset, Button, Exits, Log, Next, Close].map(Typed::Order);
        let all: Vec<_> = orders.into_iter().chain([Typed::Guest(b's')]).collect();
        assert_eq!(typed(b"\x1dsprbeln\rs"), all);
    }

    #[test]
    fn the_guest_gets_a_ctrl_bracket_by_a_bracket() {
        let list = Typed::Order(List);
        assert_eq!(
            typed(b"\x1d]q"),
            [list, Typed::Guest(0x1d), Typed::Guest(b'q')]
        );
    }

    /// Whoever ends a run by program need not know what was typed before.
    #[test]
    fn ctrl_bracket_q_quits_whatever_came_before() {
        for before in 0..=u8::MAX {
            assert_eq!(typed(&[0x1d, before, 0x1d, b'q'])[3], Typed::Order(Quit));
        }
    }
}
