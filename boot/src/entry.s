# From the boot loader to Rust: Multiboot headers, 32-bit entry, relocation, long mode, the first
# stack.
#
# The loader enters in 32-bit protected mode without paging, with EAX = magic and EBX = the
# information block (Multiboot 0.6.96, 3.2; Multiboot 2 1.6, 3.2). By Multiboot 1 the image is
# where it was linked to be, by Multiboot 2 it may be anywhere below 4 GiB: the firmware may hold
# the first megabytes. The page tables built here are temporary: they map the first 4 GiB one to
# one, until the VMM has read the memory map and makes its own.

.set MULTIBOOT_MAGIC, 0x1BADB002
# Pages aligned (0), memory map wanted (1), address fields valid (16). The last is what makes
# loaders take an ELF64 file: they load it by these fields and never look at its ELF header.
.set MULTIBOOT_FLAGS, 0x00010003

.set MULTIBOOT2_MAGIC, 0xE85250D6
.set TAG_OPTIONAL, 1
.set TAG_END, 0
.set TAG_INFORMATION_REQUEST, 1
.set TAG_ADDRESS, 2
.set TAG_ENTRY_ADDRESS, 3
.set TAG_CONSOLE_FLAGS, 4
.set TAG_FRAMEBUFFER, 5
.set TAG_MODULE_ALIGNMENT, 6
.set TAG_RELOCATABLE, 10
.set INFORMATION_MEMORY_MAP, 6
.set CONSOLE_TEXT_SUPPORTED, 2
.set PREFER_LOWEST, 1

.set CR0_PAGED, 0x80010033      # PG, WP, NE, ET, MP, PE; EM, TS, NW and CD off
.set CR4_PAE_PGE, 0x000000A0
.set EFER, 0xC0000080
.set EFER_LME_NXE, 0x00000900
.set RFLAGS_ID, 0x00200000
.set CPUID_LONG_MODE, 29        # 8000_0001 EDX
.set CPUID_NO_EXECUTE, 20       # 8000_0001 EDX
.set CPUID_HYPERVISOR, 31       # 0000_0001 ECX: an emulator's CPU
.set STACK_BYTES, 0x80000

# An entry of .rela.dyn (System V ABI, AMD64): where, what kind, and the linked address.
.set RELA_OFFSET, 0
.set RELA_KIND, 8
.set RELA_ADDEND, 16
.set RELA_BYTES, 24
.set RELATIVE, 8               # R_X86_64_RELATIVE

# The code before long mode finds everything by its distance from the image's start, which
# `linker.ld` calls NAME_offset, and by where the image's start is: EBP.
.global here, boot_map, boot_pointers, boot_directories, boot_gdt, long_mode
.global refused_text, refused_record

.section .multiboot, "a"
.balign 4
.global multiboot_header
multiboot_header:
    .long MULTIBOOT_MAGIC
    .long MULTIBOOT_FLAGS
    .long -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)
    .long linked_header         # header_addr
    .long linked_start          # load_addr
    .long linked_load_end       # load_end_addr
    .long linked_end            # bss_end_addr
    .long linked_entry          # entry_addr

.section .multiboot2, "a"
.balign 8
.global multiboot2_header
multiboot2_header:
    .long MULTIBOOT2_MAGIC
    .long 0                     # architecture: i386
    .long multiboot2_end - multiboot2_header
    .long -(MULTIBOOT2_MAGIC + (multiboot2_end - multiboot2_header))

    .word TAG_INFORMATION_REQUEST, 0
    .long 12
    .long INFORMATION_MEMORY_MAP
    .balign 8
    .word TAG_ADDRESS, 0
    .long 24
    .long linked_header2        # header_addr
    .long linked_start          # load_addr
    .long linked_load_end       # load_end_addr
    .long linked_end            # bss_end_addr
    .word TAG_ENTRY_ADDRESS, 0
    .long 12
    .long linked_entry
    .balign 8
    .word TAG_CONSOLE_FLAGS, TAG_OPTIONAL
    .long 12
    .long CONSOLE_TEXT_SUPPORTED
    .balign 8
    .word TAG_FRAMEBUFFER, TAG_OPTIONAL
    .long 20
    .long 0, 0, 32              # any width, any height, 32 bits a pixel
    .balign 8
    .word TAG_MODULE_ALIGNMENT, TAG_OPTIONAL
    .long 8
    .word TAG_RELOCATABLE, TAG_OPTIONAL
    .long 24
    .long 0x00100000            # min_addr
    .long 0xFFFFFFFF            # max_addr
    .long 4096                  # align
    .long PREFER_LOWEST
    .word TAG_END, 0
    .long 8
multiboot2_end:

.section .text.entry, "ax"
.code32
.global entry
entry:
    cli
    cld
    mov esi, eax                # magic, kept for Rust
    # Where is this? A call tells, and needs a stack. There is none yet that is known to be free:
    # the information block's second word, put back at once, is one.
    mov ecx, [ebx + 4]
    lea esp, [ebx + 8]
    call here
here:
    pop ebp
    sub ebp, offset here_offset
    mov [ebx + 4], ecx

    lea edi, [ebp + bss_start_offset]
    lea ecx, [ebp + image_end_offset]
    sub ecx, edi
    shr ecx, 2
    xor eax, eax
    rep stosd
    lea esp, [ebp + stack_top_offset]
    mov edi, ebx                # information block, kept for Rust

    # Adds the distance from where the image was linked to lie to every address in it: an
    # image without libraries has no other kind of entry that counts.
    mov ebx, ebp
    sub ebx, offset linked_start
    lea ecx, [ebp + relocations_start_offset]
    lea edx, [ebp + relocations_end_offset]
1:  cmp ecx, edx
    jae 3f
    cmp dword ptr [ecx + RELA_KIND], RELATIVE
    jne 2f
    push edx
    mov eax, [ecx + RELA_ADDEND]
    add eax, ebx
    mov edx, [ecx + RELA_OFFSET]
    mov [edx + ebx], eax        # the upper half of the address is 0, and so in the file
    pop edx
2:  add ecx, RELA_BYTES
    jmp 1b
3:
    # CPUID exists if RFLAGS.ID can be changed (APM vol. 3, appendix D).
    pushfd
    pop eax
    mov ecx, eax
    xor eax, RFLAGS_ID
    push eax
    popfd
    pushfd
    pop eax
    cmp eax, ecx
    je no_cpuid
    mov eax, 0x80000000
    cpuid
    cmp eax, 0x80000001
    jb no_long_mode
    mov eax, 0x80000001
    cpuid
    bt edx, CPUID_LONG_MODE
    jnc no_long_mode
    bt edx, CPUID_NO_EXECUTE
    jnc no_long_mode

    # Four page directories of 2 MiB pages: present, writable, large.
    mov eax, 0x83
    xor ecx, ecx
1:  mov [ebp + ecx * 8 + boot_directories_offset], eax
    add eax, 0x200000
    inc ecx
    cmp ecx, 2048
    jne 1b
    lea eax, [ebp + boot_directories_offset + 3]
    xor ecx, ecx
2:  mov [ebp + ecx * 8 + boot_pointers_offset], eax
    add eax, 0x1000
    inc ecx
    cmp ecx, 4
    jne 2b
    lea eax, [ebp + boot_pointers_offset + 3]
    mov [ebp + boot_map_offset], eax

    mov eax, CR4_PAE_PGE
    mov cr4, eax
    lea eax, [ebp + boot_map_offset]
    mov cr3, eax
    mov ecx, EFER
    rdmsr
    or eax, EFER_LME_NXE
    wrmsr
    mov eax, CR0_PAGED
    mov cr0, eax
    lea eax, [ebp + boot_gdt_offset]
    push eax
    push 23 << 16               # the limit, just below the base
    lgdt [esp + 2]
    # A far jump by hand: Intel syntax has no portable spelling of it in 32-bit code.
    mov eax, 0x08
    push eax
    lea eax, [ebp + long_mode_offset]
    push eax
    retf

# Says why there is nothing to run, to people (COM1, VGA) and to machines (COM2, the status).
no_cpuid:
    xor ecx, ecx
    jmp 1f
no_long_mode:
    mov eax, 1
    cpuid
1:  push ecx                    # CPUID_HYPERVISOR, for later
    lea esi, [ebp + refused_text_offset]
    mov ebx, 0x3F8
    call send
    lea esi, [ebp + refused_record_offset]
    mov ebx, 0x2F8
    call send
    lea esi, [ebp + refused_text_offset]
    mov edi, 0xB8000
    mov ah, 0x4F                # white on red
3:  mov al, [esi]
    cmp al, 0x20
    jb 4f
    mov [edi], ax
    add edi, 2
    inc esi
    jmp 3b
4:  pop ecx
    bt ecx, CPUID_HYPERVISOR
    jnc 5f                      # elsewhere the port may be anything
    mov dx, 0x501               # isa-debug-exit
    mov eax, 3
    out dx, eax
5:  cli
    hlt
    jmp 5b

# Sends the text at ESI, up to its NUL, to the UART at EBX, at 115200 8N1. Gives up on a byte
# after a while, so a machine without the port loses nothing but time.
send:
    lea edx, [ebx + 3]
    mov al, 0x83                # DLAB
    out dx, al
    mov edx, ebx
    mov al, 1
    out dx, al
    inc edx
    xor eax, eax
    out dx, al
    lea edx, [ebx + 3]
    mov al, 0x03                # 8N1
    out dx, al
6:  mov ecx, 0x10000
    lea edx, [ebx + 5]
7:  in al, dx
    test al, 0x20               # THRE
    loopz 7b
    mov al, [esi]
    test al, al
    jz 8f
    mov edx, ebx
    out dx, al
    inc esi
    jmp 6b
8:  ret

.code64
long_mode:
    mov eax, 0x10
    mov ds, eax
    mov es, eax
    mov ss, eax
    xor eax, eax
    mov fs, eax
    mov gs, eax
    # ESI and EDI carried magic and block here; zero-extend them into the argument registers.
    mov eax, edi
    mov edi, esi
    mov esi, eax
    lea rsp, [rip + stack_top]
    xor ebp, ebp
    call rust_entry
    ud2

.section .rodata.entry, "a"
refused_text:
    .asciz "[vmm] refused: this processor has no 64-bit mode with no-execute pages, and so no SVM\r\n"
refused_record:
    .ascii "{\"kind\":\"refused\",\"reason\":\"this processor has no 64-bit mode with no-execute pages, and so no SVM\"}\n"
    .asciz "{\"kind\":\"done\",\"status\":3}\n"
.balign 8
boot_gdt:
    .quad 0
    .quad 0x00AF9B000000FFFF    # 08h: 64-bit code, accessed
    .quad 0x00CF93000000FFFF    # 10h: data, accessed

.section .bss.entry, "aw", @nobits
.balign 4096
boot_map:
    .skip 4096
boot_pointers:
    .skip 4096
boot_directories:
    .skip 4 * 4096

.section .stack, "aw", @nobits
.balign 4096
.global stack_guard
stack_guard:
    .skip 4096
    .skip STACK_BYTES
.global stack_top
stack_top:
