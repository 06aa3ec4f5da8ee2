//! A trace as comma-separated values, a line an exit.

use std::fmt::Write;

use super::Trace;

/// The whole file, with a line of headings.
pub fn encode(trace: &Trace) -> String {
    let mut text = String::from(
        "vm,number,tsc,cycles,exit,action,own,left,code,rip,exitinfo1,exitinfo2,rax,rcx,eventinj\n",
    );
    for vm in &trace.vms {
        for exit in &vm.exits {
            // Names of VMs, exits and actions hold neither commas nor quotes.
            let _ = writeln!(
                text,
                "{},{},{},{},{},{},{},{},{:#x},{:#x},{:#x},{:#x},{:#x},{:#x},{:#x}",
                vm.name,
                exit.number,
                exit.time,
                exit.cycles,
                exit.name,
                exit.action,
                u8::from(exit.own),
                u8::from(exit.left),
                exit.code,
                exit.rip,
                exit.info1,
                exit.info2,
                exit.rax,
                exit.rcx,
                exit.event,
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::trace::tests::trace;

    #[test]
    fn every_line_has_as_many_values_as_there_are_headings() {
        let text = encode(&trace());
        let counts: Vec<_> = text.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(counts, [15; 4]);
        assert!(
            text.contains("demo,5,4000,90,msr,by rule,0,0,0x7c,0x100030,0x1,"),
            "{text}"
        );
    }
}
