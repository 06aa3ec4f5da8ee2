# The Multiboot 1 header, the first instructions, and the 256 interrupt entries.
# The kernel's stack stands here too. AT&T syntax.

.set MULTIBOOT_MAGIC, 0x1BADB002
.set MULTIBOOT_FLAGS, 3         # modules on page boundaries; memory information
.set STACK_BYTES, 64 * 1024

# The vectors for which the processor itself pushes an error code.
.set WITH_ERROR_CODE, 0x60227D00

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
# stack for interrupt_common: an error code (0 if there is none), the vector.
.section .text.interrupts, "ax"
.global interrupt_entries
.balign 16
interrupt_entries:
.set vector, 0
.rept 256
    .balign 16
    .if !((vector < 32) && ((WITH_ERROR_CODE >> vector) & 1))
    pushl $0
    .endif
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
