//! The fixed hardware (ACPI 6.5, 5.2.9): the registers that switch off and reset, and the timer.

use super::{Table, port, sleep};
use crate::host::bytes::Unreadable;

const DSDT: u64 = 40;
const SMI_COMMAND: u64 = 48;
const ACPI_ENABLE: u64 = 52;
const PM1A_CONTROL: u64 = 64;
const PM1B_CONTROL: u64 = 68;
const TIMER: u64 = 76;
const FLAGS: u64 = 112;
const RESET_REGISTER: u64 = 116;
const RESET_VALUE: u64 = 128;
const LONG_DSDT: u64 = 140;
const LONG_PM1A_CONTROL: u64 = 172;
const LONG_PM1B_CONTROL: u64 = 184;
const LONG_TIMER: u64 = 208;

const TIMER_IS_32_BITS: u32 = 1 << 8;
const RESET_SUPPORTED: u32 = 1 << 10;
const HARDWARE_REDUCED: u32 = 1 << 20;

/// What the VMM uses of the fixed hardware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fadt {
    /// How to switch off.
    pub soft_off: Option<SoftOff>,
    /// How to reset: the port, and what to write to it.
    pub reset: Option<(u16, u8)>,
    /// The power-management timer.
    pub timer: Option<PmTimer>,
    /// The machine has none of the fixed hardware of a PC.
    pub is_reduced: bool,
}

/// The way into sleep state S5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftOff {
    /// The PM1 control registers, and the sleep type that means S5 in each.
    pub registers: [Option<(u16, u8)>; 2],
    /// Where to write what so that the firmware hands over the registers.
    pub enable: Option<(u16, u8)>,
}

/// The power-management timer: 3.579545 MHz, counting up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PmTimer {
    /// Its port, of 32 bits.
    pub port: u16,
    /// Which of the bits count.
    pub mask: u32,
}

impl Fadt {
    pub(super) fn read<F: Fn(u64) -> Option<u8>>(table: &Table<'_, F>) -> Result<Self, Unreadable> {
        // The long form prevails where there is one.
        let register = |long, short| -> Result<Option<u16>, Unreadable> {
            Ok(match table.port(long)? {
                Some(found) => Some(found),
                None => port(u64::from(table.u32(short)?)),
            })
        };
        let flags = table.u32(FLAGS)?;
        let timer = register(LONG_TIMER, TIMER)?.map(|port| PmTimer {
            port,
            mask: if flags & TIMER_IS_32_BITS != 0 {
                u32::MAX
            } else {
                0x00FF_FFFF
            },
        });
        let reset = if flags & RESET_SUPPORTED != 0 {
            let value = table.u8(RESET_VALUE)?;
            table.port(RESET_REGISTER)?.map(|port| (port, value))
        } else {
            None
        };
        let dsdt = match table.u64(LONG_DSDT)? {
            0 => u64::from(table.u32(DSDT)?),
            at => at,
        };
        let control = [
            register(LONG_PM1A_CONTROL, PM1A_CONTROL)?,
            register(LONG_PM1B_CONTROL, PM1B_CONTROL)?,
        ];
        let enable = (
            port(u64::from(table.u32(SMI_COMMAND)?)),
            table.u8(ACPI_ENABLE)?,
        );
        // Without the sleep types the registers are no use.
        let types = Table::open(table.source, dsdt)
            .ok()
            .flatten()
            .and_then(|dsdt| sleep::soft_off_types(&dsdt));
        let soft_off = types
            .filter(|_| control[0].is_some())
            .map(|[a, b]| SoftOff {
                registers: [
                    control[0].map(|port| (port, a)),
                    control[1].map(|port| (port, b)),
                ],
                enable: enable
                    .0
                    .map(|port| (port, enable.1))
                    .filter(|(_, value)| *value != 0),
            });
        Ok(Self {
            soft_off,
            reset,
            timer,
            is_reduced: flags & HARDWARE_REDUCED != 0,
        })
    }
}
