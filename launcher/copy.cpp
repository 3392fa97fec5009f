#include "launcher/copy.hpp"

#include "launcher/session_core.hpp"

namespace troupe {

using answered = session_access::core::outcome;

/// How the COPY ended. Written and read where its session's answers arrive, one after the other.
struct copy_end::fate {
  std::optional<answered> how;
};

copy_end::copy_end(std::shared_ptr<session::core> in, db::query what, bool inwards)
    : core_(std::move(in)), fate_(std::make_shared<fate>()), number_(++core_->copies) {
  core_->send(db::copy_rows{std::move(what), inwards, number_},
              [fate = fate_](answered how) { fate->how = std::move(how); });
}

copy_end::~copy_end() {
  if (core_ && !closed_)
    cancel([] {});
}

/// One that has ended by itself takes no notice.
void copy_end::cancel(std::function<void()> done) {
  close();
  core_->send(
      db::copy_step{number_, db::copy_step::kind::cancel},
      [done = std::move(done)](const answered&) { done(); },
      [](const answered&) { return answered{std::in_place_type<db::work_reply>}; });
}

/// A step that fails meets a COPY that has ended: `read` makes the answer of how it did.
template<class T, class Read>
pending<T> copy_end::step(db::copy_step::kind what, std::string bytes, Read read) {
  auto [answer, give] = make_pending<T>();
  core_->send(
      db::copy_step{number_, what, std::move(bytes)},
      [give = std::move(give), read](answered told) {
        if (auto* why = std::get_if<failure>(&told))
          give(std::move(*why));
        else
          give(read(std::get<db::work_reply>(std::move(told))));
      },
      [fate = fate_](answered told) {
        const auto* why = std::get_if<failure>(&told);
        return why != nullptr && why->code == errc::conflict && fate->how ? *fate->how
                                                                          : std::move(told);
      });
  return std::move(answer);
}

pending<std::optional<std::string>> copy_reader::next() {
  using rows_or_end = std::optional<std::string>;
  return step<rows_or_end>(db::copy_step::kind::next, {}, [](db::work_reply told) {
    auto* rows = std::get_if<std::string>(&told);
    return rows == nullptr ? rows_or_end{} : rows_or_end{std::move(*rows)};
  });
}

pending<void> copy_writer::put(std::string bytes) {
  return step<void>(db::copy_step::kind::put, std::move(bytes), [](const db::work_reply& told) {
    using answer = pending<void>::outcome;
    return std::holds_alternative<db::result>(told)
               ? answer{failure{errc::conflict, "this COPY is finished"}}
               : answer{detail::nothing{}};
  });
}

pending<std::int64_t> copy_writer::finish() {
  close();
  return step<std::int64_t>(db::copy_step::kind::end, {}, [](const db::work_reply& told) {
    return static_cast<std::int64_t>(std::get<db::result>(told).affected());
  });
}

pending<void> copy_writer::cancel() {
  auto [answer, give] = make_pending<void>();
  copy_end::cancel([give = std::move(give)] { give(detail::nothing{}); });
  return std::move(answer);
}

copy_reader session::copy_out(db::query what) {
  return {core_, std::move(what), false};
}
copy_writer session::copy_in(db::query what) {
  return {core_, std::move(what), true};
}

} // namespace troupe
