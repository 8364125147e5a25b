// The other end of a recorded connection.
#ifndef TESTS_E2E_PEER_H_
#define TESTS_E2E_PEER_H_

#include <cstdint>
#include <string>

#include "tests/bench/stream_content.h"

namespace sluice {

// Sends the bytes of one stream of a StreamContent, in order, and waits while they are not taken.
class Peer {
 public:
  // A connection to 127.0.0.1:`port`, from any address of the loopback network.
  Peer(const StreamContent& content, uint64_t number, uint16_t port,
       const std::string& from = "127.0.0.1");
  // One that was accepted.
  Peer(const StreamContent& content, uint64_t number, int socket);
  ~Peer();
  Peer(Peer&& from) noexcept;
  Peer& operator=(Peer&&) = delete;

  // The next `bytes` of the stream; false when the recorder has gone before it took them all.
  bool Send(uint64_t bytes);
  // As many of them as the kernel takes without waiting.
  void TrySend(uint64_t bytes);
  // Without waiting: what the kernel takes until it takes no more.
  void SendUntilFull();
  void FinishSending();  // half-close
  void Reset();          // and throw away what is on its way
  void Close();
  // Until the recorder closes; true when it did in order, false when it reset the connection.
  bool AwaitClose();

  uint64_t number() const { return number_; }
  uint64_t sent() const { return sent_; }
  // Of these, what the recorder's kernel has confirmed.
  uint64_t acknowledged() const;
  // Until that is all of them, or nothing more comes.
  void AwaitAcknowledged() const;

  // This end, as the recorder calls it.
  const std::string& address() const { return address_; }
  int socket() const { return socket_; }

 private:
  void NoteAddress();
  int64_t SendSome(uint64_t bytes, int flags);

  const StreamContent* content_;
  uint64_t number_;
  int socket_ = -1;
  uint64_t sent_ = 0;
  std::string address_;
};

// Listens on 127.0.0.1. Port 0 lets the system choose.
class Server {
 public:
  explicit Server(uint16_t port = 0);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  uint16_t port() const { return port_; }
  // The next connection.
  int Accept();

 private:
  int socket_;
  uint16_t port_;
};

// A port of 127.0.0.1 on which nobody listens just now.
uint16_t UnusedPort();

}  // namespace sluice

#endif  // TESTS_E2E_PEER_H_
