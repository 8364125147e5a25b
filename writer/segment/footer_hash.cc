#include "writer/segment/footer_hash.h"

#include <openssl/evp.h>

#include <cstring>
#include <memory>

#include "ingest/check.h"
#include "writer/segment/format.h"

namespace sluice {

Sha256 FooterSha256(absl::Span<const std::byte> footer) {
  SLUICE_CHECK(footer.size() >= sizeof(SegmentTrailer));
  const absl::Span<const std::byte> records =
      footer.subspan(0, footer.size() - sizeof(SegmentTrailer));
  SegmentTrailer trailer;
  std::memcpy(&trailer, footer.data() + records.size(), sizeof(trailer));
  trailer.flags &= static_cast<uint16_t>(~kSealedByRecovery);
  trailer.trailer_crc32c = 0;

  // Looked up once: finding an algorithm costs more than a small footer.
  static const EVP_MD* const kAlgorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        &EVP_MD_CTX_free);
  Sha256 sum;
  unsigned length = 0;
  SLUICE_CHECK(kAlgorithm != nullptr && context != nullptr);
  SLUICE_CHECK(EVP_DigestInit_ex(context.get(), kAlgorithm, nullptr) == 1);
  SLUICE_CHECK(EVP_DigestUpdate(context.get(), records.data(), records.size()) == 1);
  SLUICE_CHECK(EVP_DigestUpdate(context.get(), &trailer, sizeof(trailer)) == 1);
  SLUICE_CHECK(EVP_DigestFinal_ex(context.get(), sum.data(), &length) == 1);
  SLUICE_CHECK(length == sum.size());
  return sum;
}

}  // namespace sluice
