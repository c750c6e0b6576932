// Compiles HLSL with Microsoft's own compilers, run by wine.
//
//   hlslcheck.exe fxc cs_5_1 FILE...     d3dcompiler_47.dll beside it, as Windows' DX12 has it
//   hlslcheck.exe dxc cs_6_2 FILE...     dxcompiler.dll beside it
//
// One line a file: `ok FILE` or `FAILED FILE` and what the compiler said. The exit status is 1 if a file failed.
#include <stdio.h>
#include <string.h>
#include <windows.h>

#define COM(name) typedef struct name { struct name##Methods *methods; } name
#define METHOD(type, name, ...) type(WINAPI *name)(void *this, ##__VA_ARGS__)
#define UNKNOWN METHOD(HRESULT, query, const GUID *, void **); METHOD(ULONG, add_ref); METHOD(ULONG, release)

struct BlobMethods {
    UNKNOWN;
    METHOD(const char *, data);
    METHOD(SIZE_T, size);
};
COM(Blob);

struct ResultMethods { // IDxcOperationResult
    UNKNOWN;
    METHOD(HRESULT, status, HRESULT *);
    METHOD(HRESULT, result, Blob **);
    METHOD(HRESULT, errors, Blob **);
};
COM(Result);

struct Source { // DxcBuffer
    const void *text;
    SIZE_T bytes;
    UINT encoding;
};

struct CompilerMethods { // IDxcCompiler3
    UNKNOWN;
    METHOD(HRESULT, compile, const struct Source *, const WCHAR **, UINT32, void *, const GUID *, void **);
};
COM(Compiler);

static const GUID DXC_COMPILER = {0x73e22d93, 0xe6ce, 0x47f3, {0xb5, 0xbf, 0xf0, 0x66, 0x4f, 0x39, 0xc1, 0xb0}};
static const GUID DXC_COMPILER3 = {0x228b4687, 0x5a6a, 0x4730, {0x90, 0x0c, 0x97, 0x02, 0xb2, 0x20, 0x3f, 0x54}};
static const GUID DXC_RESULT = {0x58346cda, 0xdde7, 0x4497, {0x94, 0x61, 0x6f, 0x87, 0xaf, 0x5e, 0x06, 0x59}};

typedef HRESULT(WINAPI *CreateDxc)(const GUID *, const GUID *, void **);
typedef HRESULT(WINAPI *CompileFxc)(const void *, SIZE_T, const char *, const void *, void *, const char *,
                                    const char *, UINT, UINT, Blob **, Blob **);

static char text[1 << 22];

static HRESULT with_fxc(CompileFxc compile, const char *profile, SIZE_T bytes, Blob **said) {
    const UINT strict = 1 << 11; // D3DCOMPILE_ENABLE_STRICTNESS, as wgpu asks for
    Blob *code = NULL;
    return compile(text, bytes, NULL, NULL, NULL, "main", profile, strict, 0, &code, said);
}

static HRESULT with_dxc(Compiler *compiler, const char *profile, SIZE_T bytes, Blob **said) {
    WCHAR wide[16] = {0};
    for (int i = 0; profile[i] && i < 15; i++) wide[i] = (WCHAR)profile[i];
    const WCHAR *options[] = {L"-E", L"main", L"-T", wide, L"-HV", L"2018", L"-Ges"};
    struct Source source = {text, bytes, CP_UTF8};
    Result *result = NULL;
    HRESULT status = compiler->methods->compile(compiler, &source, options, sizeof options / sizeof *options, NULL,
                                                &DXC_RESULT, (void **)&result);
    if (SUCCEEDED(status)) {
        result->methods->errors(result, said);
        result->methods->status(result, &status);
    }
    return status;
}

int main(int count, char **words) {
    if (count < 4) {
        fprintf(stderr, "hlslcheck fxc|dxc PROFILE FILE...\n");
        return 2;
    }
    int dxc = strcmp(words[1], "dxc") == 0, failed = 0;
    const char *name = dxc ? "dxcompiler.dll" : "d3dcompiler_47.dll";
    HMODULE library = LoadLibraryA(name);
    FARPROC function = library ? GetProcAddress(library, dxc ? "DxcCreateInstance" : "D3DCompile") : NULL;
    Compiler *compiler = NULL;
    if (!function || (dxc && FAILED(((CreateDxc)(void *)function)(&DXC_COMPILER, &DXC_COMPILER3, (void **)&compiler)))) {
        fprintf(stderr, "%s cannot be used\n", name);
        return 2;
    }
    for (int i = 3; i < count; i++) {
        FILE *file = fopen(words[i], "rb");
        SIZE_T bytes = file ? fread(text, 1, sizeof text, file) : 0;
        if (file) fclose(file);
        Blob *said = NULL;
        HRESULT status = bytes == 0 || bytes == sizeof text ? E_FAIL
                         : dxc ? with_dxc(compiler, words[2], bytes, &said)
                               : with_fxc((CompileFxc)(void *)function, words[2], bytes, &said);
        printf("%s %s\n", SUCCEEDED(status) ? "ok" : "FAILED", words[i]);
        if (FAILED(status)) {
            failed = 1;
            printf("    %s\n", said ? said->methods->data(said) : "it cannot be read");
        }
        fflush(stdout);
    }
    return failed;
}
