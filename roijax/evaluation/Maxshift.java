import com.sun.media.imageioimpl.plugins.jpeg2000.J2KImageWriteParamJava;
import com.sun.media.imageioimpl.plugins.jpeg2000.J2KImageWriter;
import com.sun.media.imageioimpl.plugins.jpeg2000.RenderedImageSrc;
import java.io.File;
import javax.imageio.ImageIO;
import jj2000.j2k.codestream.writer.FileCodestreamWriter;
import jj2000.j2k.codestream.writer.HeaderEncoder;
import jj2000.j2k.entropy.encoder.EntropyCoder;
import jj2000.j2k.entropy.encoder.PostCompRateAllocator;
import jj2000.j2k.image.ImgDataConverter;
import jj2000.j2k.image.Tiler;
import jj2000.j2k.image.forwcomptransf.ForwCompTransf;
import jj2000.j2k.quantization.quantizer.Quantizer;
import jj2000.j2k.roi.encoder.ROIScaler;
import jj2000.j2k.wavelet.analysis.ForwardWT;

/**
 * Codes a photo with JJ2000 and MAXSHIFT: IN.png MASK.pgm OUT.j2k BPP.
 *
 * <p>An empty MASK is an ordinary coding. The jar's own image writer drops the
 * region, so JJ2000's stages are joined here.
 */
public class Maxshift {
  public static void main(String[] arguments) throws Exception {
    var image = ImageIO.read(new File(arguments[0]));
    var rate = Float.parseFloat(arguments[3]);
    var options = new J2KImageWriteParamJava(image);
    options.setLossless(false);
    options.setFilters("w9x7");
    options.setQuantizationType("expounded");
    options.setComponentTransformation("true");
    options.setEncodingRate(rate);
    if (!arguments[1].isEmpty()) {
      options.setROIs("A " + arguments[1]);
    }

    // One tile; from samples to coded blocks.
    var source = new RenderedImageSrc(
        image, options, new J2KImageWriter(null));
    var tiler = new Tiler(
        source, 0, 0, 0, 0, image.getWidth(), image.getHeight());
    var components = new ImgDataConverter(new ForwCompTransf(tiler, options));
    var wavelet = ForwardWT.createInstance(components, options);
    var quantizer = Quantizer.createInstance(wavelet, options);
    var scaler = ROIScaler.createInstance(quantizer, options);
    var coder = EntropyCoder.createInstance(
        scaler,
        options,
        options.getCodeBlockSize(),
        options.getPrecinctPartition(),
        options.getBypass(),
        options.getResetMQ(),
        options.getTerminateOnByte(),
        options.getCausalCXInfo(),
        options.getCodeSegSymbol(),
        options.getMethodForMQLengthCalc(),
        options.getMethodForMQTermination());

    // From coded blocks to a file of the wanted rate.
    var file = new FileCodestreamWriter(
        new File(arguments[2]), Integer.MAX_VALUE);
    var allocator = PostCompRateAllocator.createInstance(
        coder, rate, file, options);
    var header = new HeaderEncoder(
        source, new boolean[3], wavelet, tiler, options, scaler, allocator);
    allocator.setHeaderEncoder(header);
    header.encodeMainHeader();
    allocator.initialize();
    header.reset();
    header.encodeMainHeader();
    file.commitBitstreamHeader(header);
    allocator.runAndWrite();
    file.close();
  }
}
