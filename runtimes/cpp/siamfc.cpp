// Follows an object through a video with files that `siamfc export` wrote.
//
//   g++ -std=c++17 -O2 siamfc.cpp -o siamfc $(pkg-config --cflags opencv4)
//       -lopencv_core -lopencv_dnn -lopencv_imgcodecs -lopencv_videoio   (one line)
//   ./siamfc EXPORTED/ clip.mp4 62,36,50,64 > boxes.csv
//
// OpenCV 4.6 or newer is all it needs. The network runs in OpenCV's dnn module, which in older
// versions lacks operators of search.onnx. So exemplar.onnx embeds the search crops as well, and
// the correlation and the peak are computed here. Bertinetto et al. 2016, section 3.4.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <opencv2/core.hpp>
#include <opencv2/dnn.hpp>
#include <opencv2/videoio.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace siamfc {

// Boxes are in continuous, 0-based frame pixels: the left top pixel covers [0, 1) x [0, 1).
using Box = cv::Rect2d;

class Tracker {
 public:
  // Loads the files of a folder; throws std::runtime_error where it cannot.
  explicit Tracker(const std::string& folder);

  // Takes the object of the first frame, an 8-bit image in OpenCV's order of colours.
  void init(const cv::Mat& frame, const Box& box);

  // Finds the object in the next frame.
  Box update(const cv::Mat& frame);

  double score = 0;       // logit of the peak
  double confidence = 1;  // in [0, 1], how sure the tracker is of the last box
  bool lost = false;      // whether it says that it has lost the object

 private:
  struct Peak {
    cv::Point2d offset;  // in cells from the centre of the response
    double maximum, score;
  };

  double exemplar_side() const;
  cv::Mat cut(const cv::Mat& frame, const std::vector<double>& sides, int size) const;
  Peak find_peak(const cv::Mat& features) const;
  size_t best_scale(const std::vector<double>& scores) const;
  size_t scale_at_peak(const cv::Mat& frame);
  void resize(double factor);
  void update_confidence();

  cv::dnn::Net exemplar_net_, search_net_;  // the same network; each keeps the size of its input
  bool scales_at_peak_ = false;
  double scale_penalty_, scale_rate_, window_influence_, context_, min_scale_, max_scale_;
  double confidence_score_, confidence_share_, confidence_bias_;
  double lost_below_, found_above_, gain_, bias_;
  int lost_after_, exemplar_size_, search_size_, stride_, upsampling_;
  std::vector<double> factors_;
  cv::Mat upsample_, window_;  // of the response; the window is weighted already

  cv::Mat exemplar_;  // C x 36
  double own_response_ = 0;
  cv::Point2d center_;
  cv::Size2d size_, initial_size_;
  cv::Scalar fill_;  // mean colour of the first frame, outside of the frame
  int low_frames_ = 0;
};

// Returns Keys' cubic with a = -.5; cell i stands at sample upsampling * i.
static cv::Mat cubic_matrix(int cells, int upsampling) {
  cv::Mat matrix = cv::Mat::zeros(upsampling * (cells - 1) + 1, cells, CV_32F);
  for (int sample = 0; sample < matrix.rows; ++sample) {
    const double position = double(sample) / upsampling;
    const int first = int(std::floor(position));
    for (int tap = -1; tap < 3; ++tap) {
      const double d = std::abs(position - (first + tap));
      const double weight = d <= 1  ? 1.5 * d * d * d - 2.5 * d * d + 1
                            : d < 2 ? -0.5 * d * d * d + 2.5 * d * d - 4 * d + 2
                                    : 0;
      // The border cell is repeated.
      matrix.at<float>(sample, std::clamp(first + tap, 0, cells - 1)) += float(weight);
    }
  }
  return matrix;
}

// Returns a cosine window whose samples sum to 1.
static cv::Mat cosine_window(int side) {
  cv::Mat hann(side, 1, CV_64F);
  for (int i = 0; i < side; ++i)
    hann.at<double>(i) = 0.5 - 0.5 * std::cos(2 * CV_PI * i / (side - 1));
  cv::Mat window = hann * hann.t() / std::pow(cv::sum(hann)[0], 2);
  window.convertTo(window, CV_32F);
  return window;
}

Tracker::Tracker(const std::string& folder) {
  const std::string path = folder + "/manifest.json";
  if (!std::ifstream(path))
    throw std::runtime_error("no manifest.json in " + folder +
                             "; write it: siamfc export MODEL " + folder);
  const cv::FileStorage manifest(path, cv::FileStorage::READ | cv::FileStorage::FORMAT_JSON);
  if (int(manifest["format"]) != 1)
    throw std::runtime_error(folder + " is of another format than 1; export the model again");
  const cv::FileNode tracker = manifest["tracker"], crops = manifest["crops"];
  scales_at_peak_ = std::string(tracker["scales_on"]) == "peak";
  scale_penalty_ = tracker["scale_penalty"];
  scale_rate_ = tracker["scale_rate"];
  window_influence_ = tracker["window_influence"];
  context_ = tracker["context"];
  min_scale_ = tracker["min_scale"];
  max_scale_ = tracker["max_scale"];
  confidence_score_ = tracker["confidence_score"];
  confidence_share_ = tracker["confidence_share"];
  confidence_bias_ = tracker["confidence_bias"];
  lost_below_ = tracker["lost_below"];
  lost_after_ = tracker["lost_after"];
  found_above_ = tracker["found_above"];
  gain_ = manifest["adjust"]["gain"];
  bias_ = manifest["adjust"]["bias"];
  exemplar_size_ = crops["exemplar_size"];
  search_size_ = crops["search_size"];
  stride_ = crops["stride"];
  upsampling_ = crops["upsampling"];
  const int count = tracker["num_scales"];
  upsample_ = cubic_matrix((search_size_ - exemplar_size_) / stride_ + 1, upsampling_);
  window_ = window_influence_ * cosine_window(upsample_.rows);
  for (int i = 0; i < count; ++i)
    factors_.push_back(std::pow(double(tracker["scale_step"]), i - (count - 1) / 2.0));
  exemplar_net_ = cv::dnn::readNetFromONNX(folder + "/exemplar.onnx");
  search_net_ = cv::dnn::readNetFromONNX(folder + "/exemplar.onnx");
}

void Tracker::init(const cv::Mat& frame, const Box& box) {
  center_ = {box.x + box.width / 2, box.y + box.height / 2};
  if (!(box.width > 0 && box.height > 0 && center_.x >= 0 && center_.x <= frame.cols &&
        center_.y >= 0 && center_.y <= frame.rows))
    throw std::runtime_error("the box must have a size, and its centre inside the frame");
  size_ = initial_size_ = box.size();
  fill_ = cv::mean(frame);
  confidence = 1, lost = false, low_frames_ = 0;
  exemplar_net_.setInput(cut(frame, {exemplar_side()}, exemplar_size_));
  const cv::Mat features = exemplar_net_.forward();  // [1, C, 6, 6]
  exemplar_ = features.reshape(1, features.size[1]).clone();
  own_response_ = std::max(gain_ * exemplar_.dot(exemplar_), 1e-38);
}

Box Tracker::update(const cv::Mat& frame) {
  if (exemplar_.empty()) throw std::runtime_error("update was called before init");
  std::vector<double> sides;
  for (double factor : scales_at_peak_ ? std::vector<double>{1} : factors_)
    sides.push_back(exemplar_side() * factor * search_size_ / exemplar_size_);
  search_net_.setInput(cut(frame, sides, search_size_));
  const cv::Mat features = search_net_.forward();  // [S, C, 22, 22]
  std::vector<Peak> peaks;
  std::vector<double> maxima;
  for (int i = 0; i < features.size[0]; ++i) {
    const int shape[] = {features.size[1], features.size[2], features.size[3]};
    peaks.push_back(find_peak(cv::Mat(3, shape, CV_32F, (void*)features.ptr<float>(i))));
    maxima.push_back(peaks.back().maximum);
  }
  const size_t scale = scales_at_peak_ ? 0 : best_scale(maxima);
  const cv::Point2d moved = center_ + peaks[scale].offset * (stride_ * sides[scale] / search_size_);
  center_ = {std::clamp(moved.x, 0.0, double(frame.cols)),
             std::clamp(moved.y, 0.0, double(frame.rows))};
  if (!scales_at_peak_)
    resize(factors_[scale]);
  else if (factors_.size() > 1)
    resize(factors_[scale_at_peak(frame)]);
  score = peaks[scale].score;
  update_confidence();
  return {center_.x - size_.width / 2, center_.y - size_.height / 2, size_.width, size_.height};
}

// Returns the side in frame pixels of the square that an exemplar crop shows.
double Tracker::exemplar_side() const {
  const double margin = context_ * (size_.width + size_.height);
  return std::sqrt((size_.width + margin) * (size_.height + margin));
}

// Cuts squares around the object, bilinear, into [S, 3, size, size] in RGB. The colour `fill_`
// mixes with the border pixels as if it were around them.
cv::Mat Tracker::cut(const cv::Mat& frame, const std::vector<double>& sides, int size) const {
  const int shape[] = {int(sides.size()), 3, size, size};
  cv::Mat crops(4, shape, CV_32F);
  for (int s = 0; s < shape[0]; ++s) {
    std::vector<int> columns(size);
    std::vector<float> weights(size);
    for (int i = 0; i < size; ++i) {
      const double x = center_.x - 0.5 + ((i + 0.5) / size - 0.5) * sides[s];
      columns[i] = int(std::floor(x));
      weights[i] = float(x - columns[i]);
    }
    for (int i = 0; i < size; ++i) {
      const double y = center_.y - 0.5 + ((i + 0.5) / size - 0.5) * sides[s];
      const int row = int(std::floor(y));
      const float below = float(y - row);
      const auto pixels = [&](int r) {
        return r >= 0 && r < frame.rows ? frame.ptr<cv::Vec3b>(r) : nullptr;
      };
      const cv::Vec3b *above_pixels = pixels(row), *below_pixels = pixels(row + 1);
      for (int c = 0; c < 3; ++c) {
        const float fill = float(fill_[c]);
        const auto column = [&](int x) {
          if (x < 0 || x >= frame.cols) return 0.0f;
          return (above_pixels ? (1 - below) * (above_pixels[x][c] - fill) : 0.0f) +
                 (below_pixels ? below * (below_pixels[x][c] - fill) : 0.0f);
        };
        float* out = crops.ptr<float>(s, 2 - c) + size_t(i) * size;  // BGR -> RGB
        for (int j = 0; j < size; ++j)
          out[j] = fill + (1 - weights[j]) * column(columns[j]) + weights[j] * column(columns[j] + 1);
      }
    }
  }
  return crops;
}

// Slides the exemplar over features [C, 22, 22] and finds the peak under the window.
Tracker::Peak Tracker::find_peak(const cv::Mat& features) const {
  const int cells = int(std::lround(std::sqrt(exemplar_.cols)));
  const int columns = features.size[2], side = columns - cells + 1;
  // Every exemplar cell meets every search cell; the products of one shift are summed.
  cv::Mat products, response = cv::Mat::zeros(side, side, CV_32F);
  cv::gemm(exemplar_, features.reshape(1, features.size[0]), 1, cv::noArray(), 0, products,
           cv::GEMM_1_T);  // 36 x 484
  for (int k = 0; k < products.rows; ++k)
    response += products.row(k).reshape(1, columns)(
        cv::Rect(k % cells, k / cells, side, side));
  response = gain_ * response + bias_;
  const cv::Mat fine = upsample_ * response * upsample_.t();  // 257 x 257
  Peak peak;
  double minimum;
  cv::minMaxLoc(fine, &minimum, &peak.maximum);
  cv::Mat surface = fine - minimum;
  surface /= std::max(cv::sum(surface)[0], double(std::numeric_limits<float>::min()));
  surface = (1 - window_influence_) * surface + window_;
  cv::Point place;
  cv::minMaxLoc(surface, nullptr, nullptr, nullptr, &place);
  peak.score = fine.at<float>(place);
  const double middle = (side - 1) / 2.0;
  peak.offset = {double(place.x) / upsampling_ - middle, double(place.y) / upsampling_ - middle};
  return peak;
}

// Multiplies the scores of all scales but the middle one by the penalty; returns the best.
size_t Tracker::best_scale(const std::vector<double>& scores) const {
  std::vector<double> penalized = scores;
  for (size_t i = 0; i < scores.size(); ++i)
    if (i != scores.size() / 2) penalized[i] *= scale_penalty_;
  return std::max_element(penalized.begin(), penalized.end()) - penalized.begin();
}

// Compares small crops at the new place with the exemplar.
size_t Tracker::scale_at_peak(const cv::Mat& frame) {
  std::vector<double> sides, scores;
  for (double factor : factors_) sides.push_back(exemplar_side() * factor);
  exemplar_net_.setInput(cut(frame, sides, exemplar_size_));
  const cv::Mat features = exemplar_net_.forward();  // [S, C, 6, 6]
  for (int i = 0; i < features.size[0]; ++i) {
    const cv::Mat one(exemplar_.rows, exemplar_.cols, CV_32F, (void*)features.ptr<float>(i));
    scores.push_back(gain_ * one.dot(exemplar_) + bias_);
  }
  return best_scale(scores);
}

// Takes over a share of a change of scale; one factor for both sides keeps the shape.
void Tracker::resize(double factor) {
  const double growth = size_.width / initial_size_.width * (1 + scale_rate_ * (factor - 1));
  size_ = initial_size_ * std::clamp(growth, min_scale_, max_scale_);
}

// Lost after several frames in a row of low confidence, found again above another limit.
void Tracker::update_confidence() {
  const double share = (score - bias_) / own_response_;
  const double logit = confidence_score_ * score + confidence_share_ * share + confidence_bias_;
  confidence = 1 / (1 + std::exp(-logit));
  const bool low = lost ? confidence <= found_above_ : confidence < lost_below_;
  low_frames_ = low ? low_frames_ + 1 : 0;
  lost = low && (lost || low_frames_ >= lost_after_);
}

}  // namespace siamfc

int main(int argc, char** argv) try {
  siamfc::Box box;
  char rest;
  if (argc != 4 || std::sscanf(argv[3], "%lf,%lf,%lf,%lf%c", &box.x, &box.y, &box.width,
                               &box.height, &rest) != 4) {
    std::fprintf(stderr, "usage: %s EXPORTED VIDEO X,Y,W,H > boxes.csv\n", argv[0]);
    return 2;
  }
  siamfc::Tracker tracker(argv[1]);
  cv::VideoCapture video(argv[2]);
  cv::Mat frame;
  if (!video.read(frame)) throw std::runtime_error(std::string("cannot read ") + argv[2]);
  tracker.init(frame, box);
  std::puts("frame,x,y,w,h,score,confidence,lost");
  std::printf("0,%g,%g,%g,%g,nan,1,0\n", box.x, box.y, box.width, box.height);
  for (int number = 1; video.read(frame); ++number) {
    box = tracker.update(frame);
    std::printf("%d,%.4f,%.4f,%.4f,%.4f,%.4f,%.4f,%d\n", number, box.x, box.y, box.width,
                box.height, tracker.score, tracker.confidence, int(tracker.lost));
  }
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 2;
}
