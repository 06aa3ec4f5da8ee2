//! Whose port is it: the devices' of a VM, or the host's that no guest may reach.

use crate::words::Device;

/// Ports from the first to the last, both included.
pub type Ports = (u16, u16);

/// The ports that each device answers.
pub const DEVICE_PORTS: &[(Device, &[Ports])] = &[
    (Device::Pic, &[(0x20, 0x21), (0xa0, 0xa1), (0x4d0, 0x4d1)]),
    (Device::Pit, &[(0x40, 0x43), (0x61, 0x61)]),
    (Device::Uart, &[(0x3f8, 0x3ff)]),
    (Device::Keyboard, &[(0x60, 0x60), (0x64, 0x64)]),
    (Device::Mouse, &[(0x60, 0x60), (0x64, 0x64)]),
    (
        Device::Vga,
        &[
            (0x3c0, 0x3ca),
            (0x3cc, 0x3cc),
            (0x3ce, 0x3cf),
            (0x3d4, 0x3d5),
            (0x3da, 0x3da),
        ],
    ),
    (Device::Rtc, &[(0x70, 0x71)]),
];

/// The ports by which any VM switches itself off or resets itself, whatever its devices.
pub const POWER_PORTS: &[Ports] = &[
    (0x64, 0x64),
    (0x92, 0x92),
    (0x600, 0x605),
    (0xcf9, 0xcf9),
    (0x8900, 0x8900),
];

/// The ports of the machine that no guest may reach, and what they are.
pub const HOST_PORTS: &[(Ports, &str)] = &[
    (
        (0x000, 0x00f),
        "the DMA controller, which reaches any memory",
    ),
    ((0x020, 0x021), "the interrupt controller"),
    ((0x040, 0x043), "the timer"),
    ((0x060, 0x064), "the keyboard controller and port 61h"),
    ((0x070, 0x071), "the clock, and the NMI mask"),
    ((0x080, 0x08f), "the DMA pages, which reach any memory"),
    ((0x092, 0x092), "fast reset and A20"),
    ((0x0a0, 0x0a1), "the interrupt controller"),
    ((0x0b2, 0x0b3), "system-management interrupts"),
    (
        (0x0c0, 0x0df),
        "the DMA controller, which reaches any memory",
    ),
    ((0x2f8, 0x2ff), "COM2, on which the VMM reports"),
    ((0x3b0, 0x3df), "the screen"),
    ((0x3f8, 0x3ff), "COM1, the VMM's console"),
    ((0x4d0, 0x4d1), "the interrupt controller"),
    ((0x501, 0x504), "QEMU's exit device"),
    (
        (0x510, 0x51b),
        "QEMU's firmware configuration, which reaches any memory",
    ),
    ((0x600, 0x63f), "ACPI power management"),
    ((0xb000, 0xb03f), "ACPI power management"),
    (
        (0xcf8, 0xcff),
        "PCI configuration and reset: devices that reach any memory",
    ),
    ((0x8900, 0x8900), "Bochs' power switch"),
];

/// Ports behind which nothing reaches memory by itself. On the ISA bus a device needs the DMA
/// controller for that, which is the host's; a PCI device does not.
pub const TAME_PORTS: &[(Ports, &str)] = &[
    ((0x0e9, 0x0e9), "Bochs' and QEMU's debug console"),
    ((0x0f0, 0x0ff), "the coprocessor's, and QEMU's debug exit"),
    ((0x100, 0x3ff), "the ISA bus's"),
    ((0x402, 0x402), "the firmware's debug console"),
];

/// Whether all of `ports` are known to be tame.
pub(crate) fn are_tame(ports: Ports) -> bool {
    TAME_PORTS
        .iter()
        .any(|((first, last), _)| *first <= ports.0 && ports.1 <= *last)
}

/// Whether two ranges have a number in common.
pub(crate) fn meet<T: Ord>(one: (T, T), other: (T, T)) -> bool {
    one.0 <= other.1 && other.0 <= one.1
}

/// What the first host port within `ports` is, if there is one.
pub(crate) fn host(ports: Ports) -> Option<(Ports, &'static str)> {
    HOST_PORTS
        .iter()
        .copied()
        .find(|(taken, _)| meet(*taken, ports))
}

/// The device among `devices`, or the power switch, that answers one of `ports`.
pub(crate) fn device(ports: Ports, devices: &[Device]) -> Option<(Ports, String)> {
    use crate::words::Word;

    let of_devices = DEVICE_PORTS
        .iter()
        .filter(|(device, _)| devices.contains(device))
        .flat_map(|(device, taken)| {
            taken
                .iter()
                .map(|ports| (*ports, format!("the {}", device.name())))
        });
    let of_power = POWER_PORTS
        .iter()
        .map(|ports| (*ports, "the power switch".to_owned()));
    of_devices
        .chain(of_power)
        .find(|(taken, _)| meet(*taken, ports))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Word;

    #[test]
    fn ranges_meet_at_their_ends() {
        assert!(meet((1, 4), (4, 9)));
        assert!(!meet((1, 3), (4, 9)));
    }

    #[test]
    fn devices_share_all_of_their_ports_or_none() {
        for (index, (device, ports)) in DEVICE_PORTS.iter().enumerate() {
            for (other, taken) in &DEVICE_PORTS[..index] {
                let meets = |ports: &Ports| taken.iter().any(|taken| meet(*taken, *ports));
                // Keyboard and mouse are on one controller.
                let is_shared = ports == taken;
                assert!(
                    is_shared || !ports.iter().any(meets),
                    "{device:?}, {other:?}"
                );
            }
        }
    }

    #[test]
    fn every_usual_device_has_ports() {
        // The APICs are in memory.
        for device in Device::DEFAULT {
            assert!(DEVICE_PORTS.iter().any(|(with, _)| with == device));
        }
    }

    #[test]
    fn no_guest_reaches_the_host_side_of_a_virtual_device() {
        for (device, ranges) in DEVICE_PORTS {
            for ports in *ranges {
                assert!(host(*ports).is_some(), "{} at {ports:x?}", device.name());
            }
        }
    }
}
