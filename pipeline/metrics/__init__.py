"""Metrics of restored pictures. To add one: a file that defines a ``Metric``, and its line in ``METRICS``."""

from pipeline.metrics.contract import Aspect, Metric
from pipeline.metrics.diversity import DIVERSITY
from pipeline.metrics.errors import ERRORS_LR_PSNR_40, ERRORS_LR_PSNR_45, PIXEL_ERROR_DRAWS, PIXEL_ERRORS
from pipeline.metrics.estimates import ESTIMATE_METRICS
from pipeline.metrics.fidelity import LR_PSNR_MEAN, LR_PSNR_WORST, PSNR, SSIM
from pipeline.metrics.perceptual import LPIPS
from pipeline.metrics.sharpness import GRADIENT_LOG_RATIO

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        LPIPS,
        DIVERSITY,
        LR_PSNR_MEAN,
        LR_PSNR_WORST,
        ERRORS_LR_PSNR_45,
        ERRORS_LR_PSNR_40,
        PIXEL_ERRORS,
        PIXEL_ERROR_DRAWS,
        PSNR,
        SSIM,
        *ESTIMATE_METRICS,
        GRADIENT_LOG_RATIO,
    )
}


def metrics_of(aspect: Aspect) -> dict[str, Metric]:
    """Return the metrics of restorations that are judged by ``aspect``, in the order in which they are shown."""
    return {name: metric for name, metric in METRICS.items() if metric.aspect in (None, aspect)}


__all__ = ["METRICS", "Aspect", "Metric", "metrics_of"]
