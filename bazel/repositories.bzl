"""The external repositories of this workspace: system packages by default.

Each keeps the name and the labels of the upstream project's own Bazel build.
"""

load("//bazel:system_repository.bzl", "system_repository")

_WELL_KNOWN_PROTOS = [
    "any",
    "api",
    "descriptor",
    "duration",
    "empty",
    "field_mask",
    "source_context",
    "struct",
    "timestamp",
    "type",
    "wrappers",
]

_REPOSITORIES = {
    "com_github_google_benchmark": dict(
        hint = "Debian package: libbenchmark-dev.",
        libraries = {
            "//:benchmark": "benchmark",
            "//:benchmark_main": "-lbenchmark_main benchmark",
        },
    ),
    "com_github_grpc_grpc": dict(
        hint = "Debian packages: libgrpc++-dev protobuf-compiler-grpc.",
        libraries = {
            "//:grpc++": "grpc++ protobuf",
            "//:grpc++_reflection": "-lgrpc++_reflection grpc++ protobuf",
        },
        overlay = {
            "//third_party:cc_grpc_library.bzl": "bazel/cc_grpc_library.bzl",
            "//third_party:empty.BUILD": "bazel/BUILD.bazel",
            "//third_party:grpc.BUILD": "BUILD.bazel",
        },
        programs = {"bin/grpc_cpp_plugin": "grpc_cpp_plugin"},
    ),
    # Add a line here when a BUILD file needs another target.
    "com_google_absl": dict(
        hint = "Debian package: libabsl-dev.",
        libraries = {
            "//absl/cleanup:cleanup": "absl_cleanup",
            "//absl/container:flat_hash_map": "absl_flat_hash_map",
            "//absl/container:flat_hash_set": "absl_flat_hash_set",
            "//absl/container:inlined_vector": "absl_inlined_vector",
            "//absl/functional:function_ref": "absl_function_ref",
            "//absl/memory:memory": "absl_memory",
            "//absl/status:status": "absl_status",
            "//absl/status:statusor": "absl_statusor",
            "//absl/strings:str_format": "absl_str_format",
            "//absl/strings:strings": "absl_strings",
            "//absl/types:span": "absl_span",
            "//absl/time:time": "absl_time",
        },
    ),
    "cli11": dict(
        hint = "Debian package: libcli11-dev.",
        libraries = {"//:cli11": "CLI11"},
    ),
    "com_github_gabime_spdlog": dict(
        hint = "Debian package: libspdlog-dev.",
        libraries = {"//:spdlog": "spdlog"},
    ),
    "com_google_googletest": dict(
        hint = "Debian packages: libgtest-dev libgmock-dev.",
        libraries = {
            "//:gtest": "gmock gtest",
            "//:gtest_main": "gmock_main gmock gtest",
        },
    ),
    "com_google_protobuf": dict(
        hint = "Debian packages: libprotobuf-dev protobuf-compiler.",
        libraries = {
            "//:protobuf": "protobuf",
            "//:protobuf_lite": "protobuf-lite",
        },
        overlay = {
            "//third_party:cc_proto_library.bzl": "bazel/cc_proto_library.bzl",
            "//third_party:empty.BUILD": "bazel/BUILD.bazel",
            "//third_party:proto_library.bzl": "bazel/proto_library.bzl",
            "//third_party:protobuf.BUILD": "BUILD.bazel",
        },
        programs = {"bin/protoc": "protoc"},
        symlinks = {
            "src/google/protobuf/{}.proto".format(name): "/usr/include/google/protobuf/{}.proto".format(name)
            for name in _WELL_KNOWN_PROTOS
        },
    ),
    "isa-l": dict(
        hint = "Debian package: libisal-dev.",
        libraries = {"//:isa-l": "libisal"},
    ),
    "libmnl": dict(
        hint = "Debian package: libmnl-dev.",
        libraries = {"//:libmnl": "libmnl"},
    ),
    "libsystemd": dict(
        hint = "Debian package: libsystemd-dev.",
        libraries = {"//:libsystemd": "libsystemd"},
    ),
    "liburing": dict(
        hint = "Debian packages, of forky or later: liburing-dev linux-libc-dev.",
        libraries = {"//:liburing": "liburing >= 2.15"},
    ),
    "openssl": dict(
        hint = "Debian package: libssl-dev.",
        libraries = {"//:crypto": "libcrypto"},
    ),
    "sqlite3": dict(
        hint = "Debian package: libsqlite3-dev.",
        libraries = {"//:sqlite3": "sqlite3"},
    ),
}

def system_repositories():
    """Defines each repository that the caller has not already defined."""
    for name, attributes in _REPOSITORIES.items():
        if not native.existing_rule(name):
            system_repository(name = name, **attributes)
