# Ring 3 for a moment, and what is run there. AT&T syntax; operands in braces are sensitive.rs's.

# ring_3(code): runs the code in ring 3 until it traps, and keeps its EAX. ESP0 and SS0 are words 1
# and 2 of the task-state segment. IRET to ring 3 empties the segment registers of ring 0, so all
# are loaded again afterwards.
.section .text.ring_3, "ax"
.global ring_3
ring_3:
    pushal
    movl 36(%esp), %eax
    movl %esp, {kernel_stack}
    movl %esp, {task} + 4
    movl ${data}, {task} + 8
    movl $ring_0_again, exception_recovery
    movl ${user_data}, %ecx
    movl %ecx, %ds
    movl %ecx, %es
    pushl %ecx
    pushl ${user_stack} + {stack_bytes}
    pushfl
    pushl ${user_code}
    pushl %eax
    iretl
ring_0_again:
    movl ${data}, %ecx
    movl %ecx, %ds
    movl %ecx, %es
    movl %ecx, %fs
    movl %ecx, %gs
    movl {kernel_stack}, %esp
    movl %eax, {answer}
    popal
    ret

# A sample leaves what it found out in EAX and ends at UD2.
.macro sample name
    .global \name
    \name:
.endm

sample sample_sgdt
    subl $8, %esp
    sgdt (%esp)
    movl 2(%esp), %eax
    ud2
sample sample_sidt
    subl $8, %esp
    sidt (%esp)
    movl 2(%esp), %eax
    ud2
sample sample_sldt
    sldt %eax
    ud2
sample sample_smsw
    smsw %eax
    ud2
sample sample_pushf
    pushfl
    popl %eax
    ud2
sample sample_popf
    pushfl
    andl $~0x200, (%esp)
    popfl
    pushfl
    popl %eax
    ud2
sample sample_lar
    movl ${code}, %ecx
    larl %ecx, %edx
    jmp leave_zf
sample sample_lsl
    movl ${code}, %ecx
    lsll %ecx, %edx
    jmp leave_zf
sample sample_verr
    movl ${data}, %ecx
    verr %cx
    jz leave_zf
    verw %cx
leave_zf:
    setz %al
    movzbl %al, %eax
    ud2
sample sample_pop
    pushl ${user_data}
    popl %es
    movl %es, %eax
    ud2
sample sample_push
    pushl %cs
    popl %eax
    ud2
sample sample_call
    lcall ${user_code}, $1f
1:  popl %eax
    popl %eax
    ud2
sample sample_jmp
    ljmp ${user_code}, $1f
1:  movl %cs, %eax
    ud2
sample sample_int
    int $0x80
    ud2
sample sample_ret
    pushl ${user_code}
    pushl $1f
    lretl
1:  movl %cs, %eax
    ud2
sample sample_str
    str %eax
    ud2
sample sample_mov
    movl %cs, %eax
    ud2
