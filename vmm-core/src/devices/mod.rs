//! What a guest sees behind its I/O ports, and behind the memory of its APICs.
//!
//! Each device is a model of its data sheet: plain state, bytes in, bytes out. Nothing here
//! touches the machine, allocates or waits, so all of it runs in tests on the host. [`Devices`]
//! is the set that one VM has: it finds the device of a port, carries the interrupt lines to the
//! [`Pic`], and knows when the next timer is due. Splitting wide accesses, injecting vectors and
//! acting on an [`Effect`] are left to the exit handlers.

#![forbid(unsafe_code)]

mod i8042;
pub mod ioapic;
pub mod lapic;
pub mod lines;
mod memory;
mod pic;
mod pit;
pub mod power;
mod rtc;
mod time;
mod uart;
mod vga;

#[cfg(test)]
mod tests;

pub use i8042::I8042;
use ioapic::IoApic;
use lapic::LocalApic;
use lines::line;
pub use pic::Pic;
pub use pit::{PIT_HZ, Pit};
pub use power::Power;
pub use rtc::Rtc;
pub use time::{GuestTime, SECOND, UnixTime};
pub use uart::Uart;
pub use vga::{Cursor, Vga};

bitflags::bitflags! {
    /// The devices a VM has, by the names of `vm.toml` in capitals. Power control is always there.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct DeviceSet: u16 {
        /// Two 8259A.
        const PIC = 1 << 0;
        /// 8254 and port 61h.
        const PIT = 1 << 1;
        /// 16550A, COM1.
        const UART = 1 << 2;
        /// A keyboard, and the 8042 that it is on.
        const KEYBOARD = 1 << 3;
        /// VGA text mode registers.
        const VGA = 1 << 4;
        /// MC146818 and CMOS.
        const RTC = 1 << 5;
        /// The local APIC of the CPU.
        const LAPIC = 1 << 6;
        /// An I/O APIC, beside a local one.
        const IOAPIC = 1 << 7;
        /// KVM's paravirtual clock, which is no device behind ports or memory.
        const PVCLOCK = 1 << 8;
        /// A mouse, and the 8042 that it is on.
        const MOUSE = 1 << 9;
    }
}

impl DeviceSet {
    /// What a VM has whose policy does not say.
    pub const PC: DeviceSet = DeviceSet::PIC
        .union(DeviceSet::PIT)
        .union(DeviceSet::UART)
        .union(DeviceSet::KEYBOARD)
        .union(DeviceSet::VGA)
        .union(DeviceSet::RTC);
    /// What is on the keyboard controller, which is there if one of them is.
    pub const ON_I8042: DeviceSet = DeviceSet::KEYBOARD.union(DeviceSet::MOUSE);
}

/// What a write does beyond the device that took it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Effect {
    /// Nothing.
    None,
    /// The UART sends this byte.
    Transmit(u8),
    /// A timer was programmed: the next deadline has moved.
    Timer,
    /// The VM switches itself off.
    PowerOff,
    /// The VM resets itself.
    Reset,
}

/// Port of the timer's counter 0, whose output is its interrupt line.
const PIT_COUNTER_0: u16 = 0x40;

/// A guest that has fallen further behind than this, in ticks, is not caught up with all of them.
const MOST_LATE_TICKS: u64 = 10_000;

/// First port of COM1.
const COM1: u16 = 0x3f8;

/// Whom a port belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Pic,
    Elcr,
    Pit,
    Uart,
    Keyboard,
    Rtc,
    Vga,
    Power,
}

/// The devices of one VM.
#[derive(Clone, Debug)]
pub struct Devices {
    set: DeviceSet,
    /// Whether the 8259A alone are between the devices and the CPU.
    has_lone_pic: bool,
    /// Interrupt controllers.
    pub pic: Pic,
    /// Interval timer.
    pub pit: Pit,
    /// Serial port.
    pub uart: Uart,
    /// Keyboard controller.
    pub keyboard: I8042,
    /// Clock and CMOS memory.
    pub rtc: Rtc,
    /// Display registers.
    pub vga: Vga,
    power: Power,
    lapic: LocalApic,
    ioapic: IoApic,
    /// Whether the guest gets the timer's late ticks too.
    catches_up: bool,
    /// Ticks that came while the guest had not yet taken the one before.
    late_ticks: u64,
    /// When the next timer is due; kept, because it is asked after every exit.
    deadline: GuestTime,
}

impl Devices {
    /// The devices in `set` as a BIOS leaves them, in a VM with `memory_bytes`, at guest time 0.
    /// The clock then shows `wall`.
    pub fn new(set: DeviceSet, memory_bytes: u64, wall: UnixTime) -> Self {
        let mut devices = Self {
            set,
            has_lone_pic: set & (DeviceSet::PIC | DeviceSet::LAPIC) == DeviceSet::PIC,
            pic: Pic::new(),
            pit: Pit::new(),
            uart: Uart::new(),
            keyboard: I8042::new(
                set.contains(DeviceSet::KEYBOARD),
                set.contains(DeviceSet::MOUSE),
            ),
            rtc: Rtc::new(memory_bytes, wall),
            vga: Vga::new(),
            power: Power::new(),
            lapic: LocalApic::new(),
            ioapic: IoApic::new(),
            catches_up: false,
            late_ticks: 0,
            deadline: GuestTime::MAX,
        };
        devices.timers_changed();
        devices
    }

    /// The same devices, with every tick of the timer for the guest if it `catches_up`, however
    /// late, and otherwise one for all that it missed.
    pub fn catching_up(self, catches_up: bool) -> Self {
        Self { catches_up, ..self }
    }

    /// Whose port it is, if this VM has the device.
    #[inline(always)]
    fn owner(&self, port: u16) -> Option<Owner> {
        // Before all others: a guest's kernel comes here with every interrupt.
        if Pic::owns(port) {
            return self.set.contains(DeviceSet::PIC).then_some(Owner::Pic);
        }
        let (device, owner) = match port {
            0x40..=0x43 | 0x61 => (DeviceSet::PIT, Owner::Pit),
            0x3f8..=0x3ff => (DeviceSet::UART, Owner::Uart),
            // Without a keyboard controller its reset command remains.
            0x60 | 0x64 if self.set.intersects(DeviceSet::ON_I8042) => {
                return Some(Owner::Keyboard);
            }
            0x70 | 0x71 => (DeviceSet::RTC, Owner::Rtc),
            0x3c0..=0x3ca | 0x3cc | 0x3ce | 0x3cf | 0x3d4 | 0x3d5 | 0x3da => {
                (DeviceSet::VGA, Owner::Vga)
            }
            0x4d0 | 0x4d1 => (DeviceSet::PIC, Owner::Elcr),
            0x64 | 0x92 | 0x600..=0x605 | 0xcf9 | 0x8900 => return Some(Owner::Power),
            _ => return None,
        };
        self.set.contains(device).then_some(owner)
    }

    /// Whether `port` is one of the interrupt controllers' own (20h, 21h, A0h, A1h), and nothing
    /// but they has to do with an access.
    #[inline(always)]
    pub fn has_lone_pic_at(&self, port: u16) -> bool {
        port & 0xff7e == 0x20 && self.has_lone_pic
    }

    /// Whether [`read`](Self::read) and [`write`](Self::write) answer for `port`.
    pub fn owns(&self, port: u16) -> bool {
        self.owner(port).is_some()
    }

    /// Reads one byte; None if no device of this VM owns the port. `now` is called only by
    /// devices that need the time.
    #[inline]
    pub fn read(&mut self, port: u16, now: impl FnOnce() -> GuestTime) -> Option<u8> {
        let value = match self.owner(port)? {
            Owner::Pic => {
                let value = self.pic.read(port);
                self.pic_changed();
                value
            }
            Owner::Elcr => self.pic.read_elcr(port),
            Owner::Pit => {
                let value = self.pit.read(port, now());
                self.pit_moved();
                value
            }
            Owner::Uart => {
                let value = self.uart.read((port - COM1) as u8);
                self.follow_uart();
                value
            }
            Owner::Keyboard => self.read_keyboard(port),
            // Port 70h cannot be read.
            Owner::Rtc if port == 0x70 => 0xff,
            Owner::Rtc => {
                let value = self.rtc.read(now);
                self.follow_rtc();
                value
            }
            Owner::Vga => self.vga.read(port, now),
            Owner::Power => self.power.read(port),
        };
        Some(value)
    }

    /// Writes one byte; None if no device of this VM owns the port.
    #[inline]
    pub fn write(
        &mut self,
        port: u16,
        value: u8,
        now: impl FnOnce() -> GuestTime,
    ) -> Option<Effect> {
        let effect = match self.owner(port)? {
            Owner::Pic => {
                self.pic.write(port, value);
                self.pic_changed();
                Effect::None
            }
            Owner::Elcr => {
                self.pic.write_elcr(port, value);
                self.pic_changed();
                Effect::None
            }
            Owner::Pit => {
                self.pit.write(port, value, now());
                if port == PIT_COUNTER_0 {
                    // A new rate: what was missed of the old one is nothing to it.
                    self.late_ticks = 0;
                }
                self.timer_written()
            }
            Owner::Uart => {
                let sent = self.uart.write((port - COM1) as u8, value);
                self.follow_uart();
                sent.map_or(Effect::None, Effect::Transmit)
            }
            Owner::Keyboard => self.write_keyboard(port, value),
            Owner::Rtc if port == 0x70 => {
                self.rtc.select(value);
                Effect::None
            }
            Owner::Rtc => {
                self.rtc.write(value, now);
                self.timer_written()
            }
            Owner::Vga => {
                self.vga.write(port, value);
                Effect::None
            }
            Owner::Power => {
                let effect = self.power.write(port, value);
                self.follow_power();
                effect
            }
        };
        Some(effect)
    }

    fn read_keyboard(&mut self, port: u16) -> u8 {
        if port == 0x64 {
            return self.keyboard.read_status();
        }
        let value = self.keyboard.read_data();
        // The line falls with the read, so that the next byte is an edge of its own.
        self.set_line(line::KEYBOARD, false);
        self.set_line(line::MOUSE, false);
        self.follow_keyboard();
        value
    }

    fn write_keyboard(&mut self, port: u16, value: u8) -> Effect {
        let reset = if port == 0x60 {
            self.keyboard.write_data(value)
        } else {
            self.keyboard.write_command(value)
        };
        self.follow_keyboard();
        if reset { Effect::Reset } else { Effect::None }
    }

    /// Moves the timers to `now`: raises the lines of those that are due.
    #[inline]
    pub fn advance(&mut self, now: GuestTime) {
        if now >= self.deadline {
            self.pit.advance(now);
            self.rtc.advance(now);
            self.lapic.advance(now);
            self.timers_changed();
        }
    }

    /// When [`advance`](Self::advance) has something to do next; None if never. Only `advance`
    /// and a write whose effect is [`Effect::Timer`] bring it closer.
    #[inline]
    pub fn next_deadline(&self) -> Option<GuestTime> {
        (self.deadline < GuestTime::MAX).then_some(self.deadline)
    }

    /// Somebody presses the power button. False if the guest does not listen for it.
    pub fn press_power_button(&mut self) -> bool {
        self.power.press();
        self.follow_power();
        self.power.irq() && self.set.intersects(DeviceSet::PIC | DeviceSet::IOAPIC)
    }

    /// A byte from outside for the UART. False if it does not fit now: try again later.
    pub fn serial_input(&mut self, byte: u8) -> bool {
        if !self.set.contains(DeviceSet::UART) {
            return true;
        }
        let taken = self.uart.receive(byte);
        self.follow_uart();
        taken
    }

    /// A byte from the physical keyboard, in scan code set 1. False if there is no room now:
    /// try again later.
    pub fn key(&mut self, set1: u8) -> bool {
        let taken = self.keyboard.key(set1);
        self.follow_keyboard();
        taken
    }

    fn timer_written(&mut self) -> Effect {
        let before = self.deadline;
        self.timers_changed();
        if self.deadline == before {
            Effect::None
        } else {
            Effect::Timer
        }
    }

    /// Carries counter 0's edges to the PIC after a read, which cannot change its course.
    #[inline]
    fn pit_moved(&mut self) {
        if self.carry_ticks() {
            self.timers_changed();
        }
    }

    /// Brings the timers' lines and the deadline up to date.
    fn timers_changed(&mut self) {
        let mut deadline = GuestTime::MAX;
        if self.set.contains(DeviceSet::PIT) {
            self.carry_ticks();
            self.follow_pit();
            deadline = self.pit.next_deadline().unwrap_or(deadline);
        }
        if self.set.contains(DeviceSet::RTC) {
            self.follow_rtc();
            deadline = deadline.min(self.rtc.next_deadline().unwrap_or(deadline));
        }
        if self.set.contains(DeviceSet::LAPIC) {
            deadline = deadline.min(self.lapic.due());
        }
        self.deadline = deadline;
    }
}
