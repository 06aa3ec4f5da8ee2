//! IN and OUT: the VM's devices first, then the policy's rules; all else is denied (APM 15.10).

mod string;

use core::fmt::Display;

use intercepts::{ExitCode, IoioInfo};

use super::{Outcome, interrupt, remedy};
use crate::devices::Effect;
use crate::policy::IoAction;
use crate::svm::instructions;
use crate::vm::denials::Denied;
use crate::vm::{How, Vcpu, Vm};
use crate::warn;

/// Performs the port access on the VM's devices, or as the policy's rules say.
pub fn emulate(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let info = IoioInfo(vcpu.control().exit_info1);
    if info.is_single_byte() && vm.devices.has_lone_pic_at(info.port()) {
        pic(vcpu, vm, info)
    } else if info.is_string() {
        string::emulate(vcpu, vm, info)
    } else {
        general(vcpu, vm, info)
    }
}

/// The interrupt controllers, which every kernel touches more than all else: a function for
/// each of the three things done to them, so that none saves registers for another.
#[inline(always)]
fn pic(vcpu: &mut Vcpu, vm: &mut Vm, info: IoioInfo) -> Outcome {
    if info.is_in() {
        read_pic(vcpu, vm, info.port())
    } else if info.port() & 1 != 0 {
        write_pic_mask(vcpu, vm, info.port())
    } else {
        write_pic_command(vcpu, vm, info.port())
    }
}

#[inline(always)]
fn read_pic(vcpu: &mut Vcpu, vm: &mut Vm, port: u16) -> Outcome {
    if vm.devices.pic.is_polled(port) {
        return poll_pic(vcpu, vm, port);
    }
    let value = vm.devices.pic.look(port);
    answer_pic(vcpu, vm, value)
}

#[cold]
#[inline(never)]
fn poll_pic(vcpu: &mut Vcpu, vm: &mut Vm, port: u16) -> Outcome {
    let value = vm.devices.pic.read(port);
    answer_pic(vcpu, vm, value)
}

#[inline(always)]
fn answer_pic(vcpu: &mut Vcpu, vm: &mut Vm, value: u8) -> Outcome {
    let rax = vcpu.save().rax;
    vcpu.set_rax(merge(rax, value.into(), 1));
    complete_pic(vcpu, vm)
}

#[inline(never)]
fn write_pic_mask(vcpu: &mut Vcpu, vm: &mut Vm, port: u16) -> Outcome {
    vm.devices.pic.write_odd(port, vcpu.save().rax as u8);
    complete_pic(vcpu, vm)
}

#[inline(never)]
fn write_pic_command(vcpu: &mut Vcpu, vm: &mut Vm, port: u16) -> Outcome {
    vm.devices.pic.write_even(port, vcpu.save().rax as u8);
    complete_pic(vcpu, vm);
    if vm.awaits_end_of_interrupt {
        Outcome::Leave
    } else {
        Outcome::Resume
    }
}

/// Any other device, or none.
#[inline(never)]
fn general(vcpu: &mut Vcpu, vm: &mut Vm, info: IoioInfo) -> Outcome {
    let mut port = PortAccess {
        vm,
        rip: vcpu.save().rip,
        outcome: Outcome::Resume,
    };
    let rax = vcpu.save().rax;
    if info.is_in() {
        let value = port.read(info.port(), info.bytes());
        vcpu.set_rax(merge(rax, value, info.bytes()));
    } else {
        port.write(info.port(), info.bytes(), rax as u32);
    }
    match port.outcome {
        Outcome::Resume => complete(vcpu, vm),
        Outcome::Leave => {
            complete(vcpu, vm);
            Outcome::Leave
        }
    }
}

/// The access is done: RIP moves on, and the guest gets an interrupt that it may have let in.
#[inline(always)]
fn complete(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let next = vcpu.control().exit_info2;
    vcpu.complete_at(next);
    if vm.devices.interrupt_pending() {
        interrupt::offer(vcpu, vm);
    }
    Outcome::Resume
}

/// The same where the interrupt controllers are all that could have one.
#[inline(always)]
fn complete_pic(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let next = vcpu.control().exit_info2;
    vcpu.complete_at(next);
    if vm.devices.pic.interrupt_pending() {
        interrupt::offer(vcpu, vm);
    }
    Outcome::Resume
}

/// Denies every access: reads give all ones, writes are dropped, and the log says so once.
pub fn float(vcpu: &mut Vcpu, vm: &mut Vm) -> Outcome {
    let info = IoioInfo(vcpu.control().exit_info1);
    let access = Access {
        port: info.port(),
        bytes: info.bytes(),
        is_in: info.is_in(),
        refused: info.port(),
    };
    denied(vm, access, vcpu.save().rip, |vm| remedy::OfExit {
        exit: ExitCode::Ioio.exit(),
        npt: vm.policy.npt,
    });
    if info.is_in() && !info.is_string() {
        let rax = vcpu.save().rax;
        vcpu.set_rax(merge(rax, u32::MAX, info.bytes()));
    }
    complete(vcpu, vm)
}

/// RAX after IN of `bytes` bytes: a 32-bit result clears the upper half, smaller ones do not.
#[inline(always)]
fn merge(rax: u64, value: u32, bytes: u8) -> u64 {
    match bytes {
        1 => rax & !0xff | u64::from(value as u8),
        2 => rax & !0xffff | u64::from(value as u16),
        _ => value.into(),
    }
}

/// An access to ports, as the log shows it.
struct Access {
    port: u16,
    bytes: u8,
    is_in: bool,
    /// The first of its ports that is not passed.
    refused: u16,
}

/// A guest's access to ports, and what came of it.
struct PortAccess<'a> {
    vm: &'a mut Vm,
    rip: u64,
    outcome: Outcome,
}

impl PortAccess<'_> {
    /// Reads `bytes` bytes at `port`: from a device a byte at a time, as the ISA bus splits
    /// a wide access; all ones where nothing answers.
    #[inline(always)]
    fn read(&mut self, port: u16, bytes: u8) -> u32 {
        let Vm { devices, clock, .. } = &mut *self.vm;
        match devices.read(port, || clock.now()) {
            Some(low) if bytes == 1 => low.into(),
            Some(low) => (1..bytes).fold(low.into(), |value, index| {
                let byte = devices
                    .read(port.wrapping_add(index.into()), || clock.now())
                    .unwrap_or(0xff);
                value | u32::from(byte) << (8 * index)
            }),
            None => self.read_by_rule(port, bytes),
        }
    }

    /// Writes the low `bytes` bytes of `value` at `port`.
    #[inline(always)]
    fn write(&mut self, port: u16, bytes: u8, value: u32) {
        if !self.write_device(port, value as u8) {
            self.write_by_rule(port, bytes, value);
            return;
        }
        for index in 1..bytes {
            let byte = (value >> (8 * index)) as u8;
            self.write_device(port.wrapping_add(index.into()), byte);
        }
    }

    /// Writes a byte to the device that owns `port`; `false`: none does.
    #[inline(always)]
    fn write_device(&mut self, port: u16, byte: u8) -> bool {
        let Vm { devices, clock, .. } = &mut *self.vm;
        match devices.write(port, byte, || clock.now()) {
            None => return false,
            Some(Effect::None) => {}
            Some(effect) => self.effect(effect),
        }
        true
    }

    #[cold]
    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::None => {}
            Effect::Transmit(byte) => {
                if self.vm.transmit(byte) == Outcome::Leave {
                    self.outcome = Outcome::Leave;
                }
            }
            Effect::Timer => self.outcome = Outcome::Leave,
            Effect::PowerOff => {
                self.outcome = self.vm.finish(How::PowerOff, format_args!("power off"));
            }
            Effect::Reset => {
                self.outcome = self
                    .vm
                    .finish(How::Reset, format_args!("reset by the guest"));
            }
        }
    }

    fn rule(&self, port: u16) -> IoAction {
        let rule = self.vm.policy.io_rule(port);
        rule.map_or(IoAction::Deny, |rule| rule.action)
    }

    /// What the policy says of an access of `bytes` bytes, by its first port. The machine's own ports
    /// are passed only if all that it reaches are.
    fn action(&self, port: u16, bytes: u8) -> IoAction {
        let is_passed = |index: u8| self.rule(port.wrapping_add(index.into())) == IoAction::Pass;
        match self.rule(port) {
            IoAction::Pass if !(1..bytes).all(is_passed) => IoAction::Deny,
            action => action,
        }
    }

    fn read_by_rule(&mut self, port: u16, bytes: u8) -> u32 {
        match self.action(port, bytes) {
            IoAction::Pass => instructions::port_in(port, bytes),
            IoAction::Ignore | IoAction::Exit => u32::MAX,
            IoAction::Deny => {
                self.deny(port, bytes, true);
                u32::MAX
            }
            IoAction::Stop => {
                self.stop(port);
                u32::MAX
            }
        }
    }

    fn write_by_rule(&mut self, port: u16, bytes: u8, value: u32) {
        match self.action(port, bytes) {
            IoAction::Pass => instructions::port_out(port, bytes, value),
            IoAction::Ignore => {}
            IoAction::Deny => self.deny(port, bytes, false),
            IoAction::Stop => self.stop(port),
            IoAction::Exit => {
                let how = if value == 0 {
                    How::PowerOff
                } else {
                    How::Crashed
                };
                self.outcome = self.vm.finish(
                    how,
                    format_args!("exit with {value:#x}, written to port {port:#x}"),
                );
            }
        }
    }

    #[cold]
    fn deny(&mut self, port: u16, bytes: u8, is_in: bool) {
        let mut reached = (0..bytes).map(|index| port.wrapping_add(index.into()));
        let refused = reached.find(|port| self.rule(*port) != IoAction::Pass);
        let refused = refused.unwrap_or(port);
        let access = Access {
            port,
            bytes,
            is_in,
            refused,
        };
        denied(self.vm, access, self.rip, |vm| remedy::OfPort {
            vm,
            port: refused,
            has_company: refused != port,
        });
    }

    #[cold]
    fn stop(&mut self, port: u16) {
        let rip = self.rip;
        self.outcome = self.vm.finish(
            How::Stopped,
            format_args!(
                "access to port {port:#x} at RIP {rip:#x}, which the policy answers with stop"
            ),
        );
    }
}

/// Notes a denied access; the first one of its kind is said on the log, with what `remedy` makes
/// of the VM.
#[cold]
fn denied<'vm, R: Display>(
    vm: &'vm mut Vm,
    access: Access,
    rip: u64,
    remedy: impl FnOnce(&'vm Vm) -> R,
) {
    let Access { port, bytes, .. } = access;
    let (denied, name, consequence) = if access.is_in {
        (Denied::In(access.refused), "IN", "it reads all ones")
    } else {
        (Denied::Out(access.refused), "OUT", "the write is dropped")
    };
    if vm.denials.note(denied) {
        let vm = &*vm;
        warn!(
            "{}: {name} of {bytes} at port {port:#x}, RIP {rip:#x}, is denied: {consequence}; {}",
            vm.policy.name,
            remedy(vm),
        );
    }
}
