# The Multiboot 1 header, the first instructions, and the 256 interrupt entries.
# The kernel's stack stands here too. AT&T syntax.

.set MULTIBOOT_MAGIC, 0x1BADB002
.set MULTIBOOT_FLAGS, 3         # modules on page boundaries; memory information
.set STACK_BYTES, 64 * 1024

.section .multiboot, "a"
.balign 4
    .long MULTIBOOT_MAGIC
    .long MULTIBOOT_FLAGS
    .long -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

.section .text.entry, "ax"
.global start
start:
    cli
    cld
    movl $stack_top, %esp
    xorl %ebp, %ebp
    pushl %ebx                  # the loader's information structure
    pushl %eax                  # the loader's magic number
    call kernel_main

# Entry for vector N at interrupt_entries + 16 * N. Every one leaves the same
# stack for interrupt_common: an error code (0 if the processor pushes none),
# the vector.
.macro exception vector, name, error_code=0
    .balign 16
\name:
    .if !\error_code
    pushl $0
    .endif
    pushl $\vector
    jmp interrupt_common
.endm

.section .text.interrupts, "ax"
.global interrupt_entries
.balign 16
interrupt_entries:
    exception 0, divide_error
    exception 1, debug
    exception 2, nmi
    exception 3, breakpoint
    exception 4, overflow
    exception 5, bound_range
    exception 6, invalid_opcode
    exception 7, device_not_available
    exception 8, double_fault, error_code=1
    exception 9, coprocessor_segment_overrun
    exception 10, invalid_tss, error_code=1
    exception 11, segment_not_present, error_code=1
    exception 12, stack, error_code=1
    exception 13, general_protection, error_code=1
    exception 14, page_fault, error_code=1
    exception 15, reserved_15
    exception 16, x87_floating_point
    exception 17, alignment_check, error_code=1
    exception 18, machine_check
    exception 19, simd_floating_point
    exception 20, reserved_20
    exception 21, control_protection, error_code=1
    exception 22, reserved_22
    exception 23, reserved_23
    exception 24, reserved_24
    exception 25, reserved_25
    exception 26, reserved_26
    exception 27, reserved_27
    exception 28, injection
    exception 29, communication, error_code=1
    exception 30, security, error_code=1
    exception 31, reserved_31
.set vector, 32
.rept 256 - 32
    .balign 16
    pushl $0
    pushl $vector
    jmp interrupt_common
    .set vector, vector + 1
.endr

interrupt_common:
    pushal
    cld
    pushl %esp
    call interrupt
    addl $4, %esp
    popal
    addl $8, %esp
    iretl

.section .bss.stack, "aw", @nobits
.balign 16
    .skip STACK_BYTES
stack_top:
