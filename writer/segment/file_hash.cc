#include "writer/segment/file_hash.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <vector>

#include "ingest/check.h"
#include "writer/segment/file_io.h"

namespace sluice {

absl::StatusOr<Sha256> FileSha256(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return FileError("open", path, errno);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  SLUICE_CHECK(context != nullptr);
  SLUICE_CHECK(EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1);
  std::vector<std::byte> piece(size_t{1} << 20);
  while (true) {
    const ssize_t n = read(fd.get(), piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FileError("read", path, errno);
    if (n == 0) break;
    SLUICE_CHECK(EVP_DigestUpdate(context.get(), piece.data(), static_cast<size_t>(n)) == 1);
  }
  Sha256 sum;
  unsigned length = 0;
  SLUICE_CHECK(EVP_DigestFinal_ex(context.get(), sum.data(), &length) == 1);
  SLUICE_CHECK(length == sum.size());
  return sum;
}

}  // namespace sluice
