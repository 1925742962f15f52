"""The parameters of the iterators over images, with MXNet's names and defaults."""

from __future__ import annotations

from ..params import Bool, Enum, Float, Floats, Int, Param, Shape, Text

Params = dict[str, Param]


class Angles(Shape):
    """A tuple of angles, or a text with commas between them."""

    def convert(self, value):
        return super().convert(f"({value},)" if isinstance(value, str) and value[:1] not in "([" else value)


BATCHES: Params = {
    "data_shape": Shape(min=1, doc="(channels, height, width) of the images in a batch; 1, 3 or 4 channels"),
    "batch_size": Int(min=1, doc="images in a batch"),
    "preprocess_threads": Int(4, min=1, doc="threads that decode, at most as many as there are cores"),
    "prefetch_buffer": Int(4, min=1, doc="batches that are made ahead"),
    "round_batch": Bool(
        True, doc="complete the last batch with images of the next epoch, which then begins after them"
    ),
    "shuffle": Bool(False, doc="a new order in every epoch; without path_imgidx only within chunks of 64 MB"),
    "seed": Int(0, doc="of the order and, unless seed_aug is given, of the random changes"),
    "num_parts": Int(1, min=1, doc="parts that the images are dealt out to"),
    "part_index": Int(0, min=0, doc="the part that this iterator has"),
    "verbose": Bool(True, doc="say in the log what is read"),
    "dtype": Enum(["float32", "float16", "uint8", "int8"], None, "of the images; None is float32"),
    "ctx": Text("cpu", "is accepted; batches are in host memory"),
    "device_id": Int(0, doc="is accepted and not needed"),
    "data_name": Text("data", "name of the images in provide_data"),
    "label_name": Text("softmax_label", "name of the labels in provide_label"),
}

RECORDS: Params = {
    "path_imgrec": Text("", "record file; several with ; between them, or a pattern for the last part of the path"),
    "path_imglist": Text("", "list file with labels by record id, which replace those in the records"),
    "path_imgidx": Text("", "index file: parts and orders are then made record by record"),
    "aug_seq": Text("aug_default", "is accepted; the changes are those of the parameters"),
    "label_width": Int(1, min=1, doc="labels of an image"),
    "shuffle_chunk_size": Int(
        0, min=0, doc="MB in the pieces of the file that are read in random order; 0 is the whole"
    ),
    "shuffle_chunk_seed": Int(0, doc="of the order of these pieces"),
    "seed_aug": Int(None, doc="of the random changes"),
}

AUGMENT: Params = {
    "resize": Int(-1, doc="length that the shorter edge gets first; -1 leaves it"),
    "rand_crop": Bool(False, doc="crop anywhere instead of in the middle"),
    "random_resized_crop": Bool(False, doc="crop a part of random area and aspect and resize it"),
    "max_rotate_angle": Int(0, min=0, doc="turn by up to so many degrees"),
    "max_aspect_ratio": Float(
        0, doc="change of the aspect: up to 1 + this, or up to this if min_aspect_ratio is given"
    ),
    "min_aspect_ratio": Float(None, doc="smallest aspect"),
    "max_shear_ratio": Float(0, min=0, doc="shear by up to this"),
    "max_crop_size": Int(-1, doc="largest edge of a square that is cropped and resized; -1: crop the result's size"),
    "min_crop_size": Int(-1, doc="smallest edge of that square"),
    "max_random_scale": Float(1, doc="largest scale of the image before it is cropped"),
    "min_random_scale": Float(1, doc="smallest scale"),
    "max_random_area": Float(1, doc="largest part of the area that random_resized_crop takes"),
    "min_random_area": Float(1, doc="smallest part of the area"),
    "max_img_size": Float(1e10, doc="largest edge after scaling"),
    "min_img_size": Float(0, doc="smallest edge after scaling"),
    "brightness": Float(0, min=0, doc="change of the brightness by up to this part"),
    "contrast": Float(0, min=0, doc="change of the contrast by up to this part"),
    "saturation": Float(0, min=0, doc="change of the saturation by up to this part"),
    "pca_noise": Float(0, min=0, doc="deviation of the noise along the main colours of ImageNet"),
    "random_h": Int(0, min=0, doc="shift of the hue by up to this, in steps of two degrees"),
    "random_s": Int(0, min=0, doc="shift of the saturation, of 255"),
    "random_l": Int(0, min=0, doc="shift of the lightness, of 255"),
    "rotate": Int(-1, doc="turn every image by so many degrees; -1 does not"),
    "rotate_list": Angles((), doc="turn by one of these angles"),
    "fill_value": Int(255, min=0, max=255, doc="pixels outside of the image"),
    "inter_method": Int(
        1, min=0, max=10, doc="0 nearest, 1 bilinear, 2 cubic, 3 area, 4 Lanczos, 9 by the sizes, 10 any of 0 to 4"
    ),
    "pad": Int(0, min=0, doc="pixels of fill_value on every side before cropping"),
}

NORMALISE: Params = {
    "mirror": Bool(False, doc="mirror every image"),
    "rand_mirror": Bool(False, doc="mirror every other image, at random"),
    "mean_img": Text("", "file with the mean of all images, made if it does not exist; replaces mean_r and the others"),
    "mean_r": Float(0, doc="is subtracted from the first channel"),
    "mean_g": Float(0, doc="from the second"),
    "mean_b": Float(0, doc="from the third"),
    "mean_a": Float(0, doc="from the fourth"),
    "std_r": Float(1, doc="divides the first channel"),
    "std_g": Float(1, doc="the second"),
    "std_b": Float(1, doc="the third"),
    "std_a": Float(1, doc="the fourth"),
    "scale": Float(1, doc="multiplies everything, after subtracting"),
    "max_random_contrast": Float(0, min=0, doc="multiply by up to 1 plus or minus this"),
    "max_random_illumination": Float(0, min=0, doc="add up to plus or minus this"),
}

DETECT: Params = {
    "label_width": Int(-1, doc="is accepted; labels are as long as they are"),
    "label_pad_width": Int(0, min=0, doc="numbers that every label is filled up to; 0: the longest in the file"),
    "label_pad_value": Float(-1, doc="what it is filled with"),
    "resize": AUGMENT["resize"],
    "rand_crop_prob": Float(0, min=0, max=1, doc="probability of a crop"),
    "min_crop_scales": Floats((0.0,), "smallest scale, for each kind of crop"),
    "max_crop_scales": Floats((1.0,), "largest scale"),
    "min_crop_aspect_ratios": Floats((1.0,), "smallest aspect"),
    "max_crop_aspect_ratios": Floats((1.0,), "largest aspect"),
    "min_crop_overlaps": Floats((0.0,), "least intersection over union with some object"),
    "max_crop_overlaps": Floats((1.0,), "most of it"),
    "min_crop_sample_coverages": Floats((0.0,), "least part of the crop that some object covers"),
    "max_crop_sample_coverages": Floats((1.0,), "most of it"),
    "min_crop_object_coverages": Floats((0.0,), "least part of some object that the crop covers"),
    "max_crop_object_coverages": Floats((1.0,), "most of it"),
    "num_crop_sampler": Int(1, min=0, doc="kinds of crops"),
    "crop_emit_mode": Enum(
        ["center", "overlap"], "center", "objects stay if their centre does, or if enough of them does"
    ),
    "emit_overlap_thresh": Float(0.3, doc="how much that is"),
    "max_crop_trials": Shape((25,), doc="attempts, for each kind of crop"),
    "rand_pad_prob": Float(0, min=0, max=1, doc="probability of a border"),
    "max_pad_scale": Float(1, min=1, doc="largest size with it"),
    "max_random_hue": Int(0, min=0, doc="shift of the hue, in steps of two degrees"),
    "random_hue_prob": Float(0, min=0, max=1, doc="probability of it"),
    "max_random_saturation": Int(0, min=0, doc="shift of the saturation, of 255"),
    "random_saturation_prob": Float(0, min=0, max=1, doc="probability of it"),
    "max_random_illumination": Int(0, min=0, doc="shift of the lightness, of 255"),
    "random_illumination_prob": Float(0, min=0, max=1, doc="probability of it"),
    "max_random_contrast": Float(0, min=0, doc="change of the contrast"),
    "random_contrast_prob": Float(0, min=0, max=1, doc="probability of it"),
    "rand_mirror_prob": Float(0, min=0, max=1, doc="probability of mirroring"),
    "fill_value": Int(127, min=0, max=255, doc="pixels of the border"),
    "inter_method": AUGMENT["inter_method"],
    "resize_mode": Enum(["force", "shrink", "fit"], "force", "to the result's size; or into it, keeping the aspect"),
    "mean_img": NORMALISE["mean_img"],
    **{f"mean_{c}": NORMALISE[f"mean_{c}"] for c in "rgba"},
    **{f"std_{c}": Float(0, doc="divides that channel, unless it is 0") for c in "rgba"},
    "scale": NORMALISE["scale"],
}

FOLDER: Params = {
    "width_shift_range": Float(0, min=0, doc="shift to the side by up to this part of the width"),
    "height_shift_range": Float(0, min=0, doc="shift up or down by up to this part of the height"),
    "rand_flip": Bool(False, doc="turn every other image upside down, at random"),
}
